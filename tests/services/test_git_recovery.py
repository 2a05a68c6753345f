"""What a git bundle is left in by killed processes, full disks, torn clones and silent repositories."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.files.disk_faults import DiskFull
from airflow_rest_api.services.git import git_access
from airflow_rest_api.services.git.git_clone import RepositoryUnavailable
from airflow_rest_api.services.git.git_publication import GitPublication
from tests.support.git_publishing import NEW, OLD, publish, wait_for

CHILD = """
import sys
from airflow.providers.git.bundles.git import GitDagBundle
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.git.git_publication import GitPublication
name, url, deployment_id = sys.argv[1:]
bundle = GitDagBundle(name=name, tracking_ref="main", repo_url=url, subdir="dags")
print("ready", flush=True)
GitPublication(bundle).publish("a.py", Content.of_file(b"child"), deployment_id=deployment_id, author="c", message="m")
"""


class TestDyingAndComingBack:
    def test_a_process_that_was_killed_leaves_nothing_in_the_way(self, bundle, remote):
        deployment_id, bundled = str(uuid4()), (bundle.name, str(remote.path))
        # The push hangs in the repository when the process dies: its git lives on, and holds the lock.
        remote.hook("pre-receive", f"sleep 2; rm -f {remote.path}/hooks/pre-receive; exit 1")
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *bundled, deployment_id], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert child.stdout.readline() == b"ready\n"
        wait_for(lambda: list((remote.path / "objects").glob("**/tmp_objdir-incoming*")))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not GitPublication(bundle).is_published("a.py", Content.of_file(b"child"), deployment_id)
        remote.commit({})
        (git_access.folder_of(bundle.name) / "refs/rest_api/head.lock").touch()
        commit = publish(bundle, "a.py", Content.of_file(b"child"), deployment_id)
        assert (remote.head, remote.show("dags/a.py")) == (commit, b"child")

    def test_a_full_disk_is_told_and_leaves_nothing(self, bundle, remote, monkeypatch, tmp_path):
        limited = tmp_path / "limited" / "git"
        limited.parent.mkdir()
        limited.write_text(f'#!/bin/sh\nulimit -f 64\nexec {shutil.which("git")} "$@"\n')
        limited.chmod(0o755)
        GitPublication(bundle).read("a.py")
        large = Content.of_file(os.urandom(1 << 20))
        with monkeypatch.context() as context:
            context.setenv("PATH", f"{limited.parent}:{os.environ['PATH']}")
            with pytest.raises(DiskFull):
                publish(bundle, "a.py", large)
        assert remote.show("dags/a.py") == OLD.data
        assert publish(bundle, "a.py", large) == remote.head
        assert list(git_access.folder_of(bundle.name).rglob("tmp_*")) == []

    def test_a_clone_that_is_broken_is_made_anew(self, bundle, remote):
        GitPublication(bundle).read("a.py")
        for path in (git_access.folder_of(bundle.name) / "objects").rglob("*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_bytes(b"torn")
        with pytest.raises(RepositoryUnavailable):
            GitPublication(bundle).read("a.py")
        assert GitPublication(bundle).read("a.py") == OLD

    def test_a_repository_that_never_answers_is_given_up(self, bundle, remote, monkeypatch):
        monkeypatch.setattr("airflow_rest_api.services.git.git_clone._NETWORK_SECONDS", 1.0)
        GitPublication(bundle).read("a.py")
        remote.hook("pre-receive", "sleep 20")
        started = time.monotonic()
        with pytest.raises(RepositoryUnavailable):
            publish(bundle, "a.py", NEW)
        assert time.monotonic() - started < 10
