"""Files on a disk that is full, cannot be written to, or is cut off in the middle: the old file or the new one."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest

from airflow_rest_api.services.files import durable_file
from tests.handlers.test_file import CONTENT, everything, kind, upload

pytestmark = pytest.mark.in_process


@pytest.fixture
def full(root):
    """A folder below the root that has room for 1 MiB."""
    folder = root / "small"
    folder.mkdir()
    if not mounted(folder):
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mounted(folder):
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_disk_without_room_keeps_the_old_file_and_nothing_else(rest, full):
    upload(rest, "small/a.csv")
    refused = upload(rest, "small/a.csv", b"b" * 2_000_000, force="true")
    assert kind(refused) == (507, "disk-full")
    assert str(full) not in refused.text
    assert upload(rest, "small/new", b"b" * 2_000_000).status_code == 507
    assert everything(full) == {"a.csv": CONTENT}
    # Room is found again without a restart.
    assert upload(rest, "small/a.csv", b"b" * 500_000, force="true").status_code == 201


def test_a_disk_that_can_only_be_read_is_unavailable(rest, full):
    upload(rest, "small/a.csv")
    subprocess.run(["mount", "-o", "remount,ro", str(full)], check=True)
    refused = [upload(rest, "small/a.csv", b"new", force="true"), rest.delete("/files/files/small/a.csv")]
    assert {kind(answer) for answer in refused} == {(503, "disk-unavailable")}
    assert all("Retry-After" in answer.headers and str(full) not in answer.text for answer in refused)
    assert rest.get("/files/files/small/a.csv").content == CONTENT


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "link"])
def test_a_fault_at_any_step_keeps_the_old_file(rest, root, monkeypatch, call):
    upload(rest, "a.csv")

    def fail(*_, **__):
        raise OSError(5, "Input/output error", str(root))

    with monkeypatch.context() as broken:
        if call == "write":
            broken.setattr(durable_file, "_fill", fail)
        else:
            broken.setattr(durable_file.os, call, fail)
        name, force = ("b.csv", "false") if call == "link" else ("a.csv", "true")
        refused = upload(rest, name, b"new", force=force)
    assert kind(refused) == (503, "disk-unavailable")
    assert str(root) not in refused.text
    assert everything(root) == {"a.csv": CONTENT}
    assert upload(rest, name, b"new", force=force).status_code == 201


def test_a_fault_of_reading_is_one_of_the_disk(rest, root, monkeypatch):
    upload(rest, "a.csv")
    with no_more_files(monkeypatch):
        refused = rest.get("/files/files/a.csv")
    assert kind(refused) == (503, "disk-unavailable")
    assert rest.get("/files/files/a.csv").content == CONTENT


@contextmanager
def no_more_files(monkeypatch):
    from airflow_rest_api.services.files import confined

    def fail(*_, **__):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(confined, "open_file", fail)
        yield
