"""Deploying into a git bundle: a commit that Airflow's own bundle picks up, and another one that takes it back."""

from __future__ import annotations

import json

import pytest

from tests.support import processor
from tests.support.deployments import dag_file
from tests.support.repositories import Repository

DAG_ID, PATH = "git_trial", "team/git_trial.py"
IN_REPOSITORY = f"dags/{PATH}"


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("git"), {"dags/README.md": b"Nothing yet.\n"})


@pytest.fixture(scope="module")
def life(metadata_database, tmp_path_factory, remote):
    """An Airflow with a DAG processor, whose bundle `drafts` follows the branch `main` of the repository."""
    home = tmp_path_factory.mktemp("following")
    kwargs = {"tracking_ref": "main", "repo_url": str(remote.path), "subdir": "dags"}
    bundles = [
        {
            "name": "dags-folder",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {},
        },
        {
            "name": processor.BUNDLE,
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": kwargs,
        },
    ]
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
    }
    with processor.running(home, **settings) as started:
        yield started


def deploy(life, data, **form):
    answer = life.rest.post(
        "/deployments",
        files={"dag_file": ("git_trial.py", data)},
        data={"bundle_name": processor.BUNDLE, "path": PATH, **form},
    )
    assert answer.status_code == 201, answer.text
    return ended(life, answer.json())


def ended(life, deployment):
    return life.rest.get(f"/deployments/{deployment['deployment_id']}", params={"wait": 60}).json()


def source(life):
    return life.rest.get(f"/dagSources/{DAG_ID}").json()["content"].encode()


@pytest.mark.in_process
@pytest.mark.xdist_group("git-processor")
@pytest.mark.timeout(300)
class TestDeployDag:
    def test_a_deployment_is_a_commit_and_its_rollback_another_one(self, life, remote):
        old, new = dag_file(DAG_ID, 1), dag_file(DAG_ID, 2, task="changed")
        first = deploy(life, old, message="Bring the trial")
        assert (first["state"], first["reference"]) == ("live", remote.head)
        assert remote.show(IN_REPOSITORY) == old == source(life)
        assert remote.field("%an|%s") == "admin|Bring the trial"
        assert remote.field("%(trailers:key=Deployment-Id,valueonly)") == first["deployment_id"]

        second = deploy(life, new, force="true")
        assert (second["state"], second["reference"]) == ("live", remote.head)
        assert remote.show(IN_REPOSITORY) == new == source(life)

        undone = life.rest.post(f"/deployments/{second['deployment_id']}/rollback", json={})
        assert undone.status_code == 201, undone.text
        back = ended(life, undone.json())
        assert (back["state"], back["reference"]) == ("live", remote.head)
        assert remote.show(IN_REPOSITORY) == old == source(life)
        assert f"This reverts commit {second['reference']}." in remote.field("%B")
        assert len(remote.ask("rev-list", "main").split()) == 4

    def test_a_hook_that_refuses_leaves_nothing_behind(self, life, remote):
        remote.hook("pre-receive", "exit 1")
        head = remote.head
        answer = life.rest.post(
            "/deployments",
            files={"dag_file": ("refused.py", dag_file("git_refused"))},
            data={"bundle_name": processor.BUNDLE},
        )
        assert (answer.status_code, answer.json()["title"]) == (409, "The push was rejected")
        assert remote.head == head
        kept = life.rest.get("/deployments", params={"path": "refused.py"}).json()
        assert kept["deployments"] == []
        assert life.rest.get("/dags/git_refused").status_code == 404
