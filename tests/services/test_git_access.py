"""Credentials of a git bundle: they open the repository, and are told and left nowhere."""

from __future__ import annotations

import json
import os
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_rest_api.services.git import git_access, git_command
from airflow_rest_api.services.git.git_clone import RepositoryUnavailable
from airflow_rest_api.services.git.git_publication import GitPublication
from tests.support import git_server
from tests.support.git_publishing import NEW, OLD, publish, wait_for


class TestCredentials:
    def test_the_connection_of_the_bundle_opens_the_repository(self, bundle_of, remote, monkeypatch):
        word = f"word-{uuid4().hex}"
        with git_server.serving(remote.path.parent, "ann", word) as address:
            monkeypatch.setenv("AIRFLOW_CONN_GIT_SERVED", json.dumps(connection(address, "ann", word)))
            bundle = bundle_of("", repo_url=None, git_conn_id="git_served")
            commit = publish(bundle, "a.py", NEW)
            assert (remote.head, GitPublication(bundle).read("a.py")) == (commit, NEW)
            bundle.initialize()
            assert bundle.get_current_version().version == commit
            monkeypatch.setenv("AIRFLOW_CONN_GIT_SERVED", json.dumps(connection(address, "ann", "wrong")))
            with pytest.raises(RepositoryUnavailable):
                publish(bundle_of("", repo_url=None, git_conn_id="git_served"), "a.py", OLD)
        kept = [path for path in git_access.folder_of(bundle.name).rglob("*") if path.is_file()]
        assert [path for path in kept if word.encode() in path.read_bytes()] == []

    def test_a_key_of_the_connection_gets_to_ssh(self, bundle_of, remote, monkeypatch, tmp_path):
        program = tmp_path / "programs" / "ssh"
        program.parent.mkdir()
        # As the host at the other end would: it carries out the last argument.
        program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\nfor last; do :; done\neval "$last"\n')
        program.chmod(0o755)
        extra = {"private_key": "no-key-of-anybody", "strict_host_key_checking": "yes"}
        opened = {"conn_type": "git", "host": f"git@example.invalid:{remote.path}", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GIT_KEY", json.dumps(opened))
        bundle = bundle_of("", repo_url=None, git_conn_id="git_key")
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        assert publish(bundle, "a.py", NEW) == remote.head
        called = (tmp_path / "called").read_text()
        assert "-o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10" in called
        key = called.partition("-i ")[2].partition(" ")[0]
        assert not Path(key).exists()


def connection(address, login, password):
    return {"conn_type": "git", "host": address, "login": login, "password": password}


def test_what_git_repeats_is_logged_without_passwords(tmp_path, caplog):
    caplog.set_level("INFO")
    address = "https://ann:word-of-ann@example.invalid/x.git"
    said = {"folder": tmp_path, "environment": git_command.environment({}, {}), "seconds": 10}
    git_command.run(["init", "--quiet", "--bare"], **said)
    finished = git_command.run(["show-ref", "--verify", address], **said)
    assert address.encode() in finished.err
    assert "https://***@example.invalid/x.git" in caplog.text
    assert "word-of-ann" not in caplog.text


def test_credentials_are_gone_from_the_environment_when_two_used_theirs_at_once(bundle_of, monkeypatch):
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        opening = []
        for number, seconds in enumerate((0.6, 1.2)):
            address = f"http://127.0.0.1:{stack.enter_context(_hanging_up_after(seconds))}/x.git"
            opened = connection(address, "ann", f"word-of-{number}")
            monkeypatch.setenv(f"AIRFLOW_CONN_GIT_{number}", json.dumps(opened))
            opening.append(bundle_of("", repo_url=None, git_conn_id=f"git_{number}"))
        before = dict(os.environ)
        early = threads.submit(GitPublication(opening[0]).read, "a.py")
        wait_for(lambda: "AIRFLOW_GIT_TOKEN" in os.environ)
        late = threads.submit(GitPublication(opening[1]).read, "a.py")
        for waited in (early, late):
            with pytest.raises(RepositoryUnavailable):
                waited.result(60)
    assert dict(os.environ) == before


@contextmanager
def _hanging_up_after(seconds):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            time.sleep(seconds)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
