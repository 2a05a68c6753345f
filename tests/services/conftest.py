"""What the tests of services share: a file that is parsed when a test says so, and bundles that follow a repository."""

from __future__ import annotations

import shutil
from uuid import uuid4

import pytest

from tests.support import parser
from tests.support.repositories import Repository


@pytest.fixture
def parse(tmp_path, restored_database):
    """`parse(text, seconds=1)`: do what a DAG processor does when it has parsed the file for so long."""

    def work(text, seconds=0.5, file=parser.FILE):
        (tmp_path / file).write_text(text)
        parser.parse(tmp_path, file, seconds)

    return work


@pytest.fixture
def remote(tmp_path):
    """A repository whose `dags/a.py` is `git_publishing.OLD`."""
    from tests.support.git_publishing import OLD

    return Repository(tmp_path / "repository", {"dags/a.py": OLD.data, "README.md": b"A repository.\n"})


@pytest.fixture
def bundle_of(home):
    """`bundle_of(url, **options)`: a git bundle of that repository, whose clones are removed after the test."""
    from airflow.providers.git.bundles.git import GitDagBundle

    from airflow_rest_api.services.git import git_access

    made = []

    def make(url, **options):
        bundle = GitDagBundle(
            **{
                "name": f"git-{uuid4().hex}",
                "tracking_ref": "main",
                "repo_url": str(url),
                "subdir": "dags",
                **options,
            }
        )
        made.append(bundle)
        return bundle

    yield make
    for bundle in made:
        shutil.rmtree(git_access.folder_of(bundle.name), ignore_errors=True)
        shutil.rmtree(bundle.base_dir, ignore_errors=True)


@pytest.fixture
def bundle(bundle_of, remote):
    """A git bundle of `remote`."""
    return bundle_of(remote.path)
