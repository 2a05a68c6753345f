"""Durable files: old or new, never half."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from airflow_rest_api.services.files import confined, disk_faults, durable_file


def names(folder):
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def write(folder, content, **options):
    return durable_file.write(folder, "file.py", [content], **{"replace": True, **options})


def test_a_file_is_written_with_its_digest(folder, tmp_path):
    written = write(folder, b"content", replace=False)
    assert written == durable_file.Written(7, hashlib.sha256(b"content").hexdigest())
    assert (tmp_path / "file.py").read_bytes() == b"content"
    assert (tmp_path / "file.py").stat().st_mode & 0o777 == 0o644
    assert names(tmp_path) == ["file.py"]


def test_a_file_is_replaced_only_where_that_was_said(folder, tmp_path):
    write(folder, b"old")
    with pytest.raises(durable_file.FileExists):
        write(folder, b"new", replace=False)
    assert (tmp_path / "file.py").read_bytes() == b"old"
    write(folder, b"new")
    assert (tmp_path / "file.py").read_bytes() == b"new"


def test_somebody_who_was_faster_is_not_overwritten(folder, tmp_path):
    def chunks():
        (tmp_path / "file.py").write_bytes(b"faster")
        yield b"slower"

    with pytest.raises(durable_file.FileExists):
        durable_file.write(folder, "file.py", chunks(), replace=False)
    assert (tmp_path / "file.py").read_bytes() == b"faster"
    assert names(tmp_path) == ["file.py"]


def test_a_wrong_digest_leaves_the_old_file(folder, tmp_path):
    write(folder, b"old")
    with pytest.raises(durable_file.DigestDiffers):
        write(folder, b"new", sha256="0" * 64)
    write(folder, b"new", sha256=hashlib.sha256(b"new").hexdigest().upper())
    assert names(tmp_path) == ["file.py"]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_or_a_link_is_not_replaced(folder, tmp_path, kind):
    (tmp_path / "other").write_text("kept")
    if kind == "folder":
        (tmp_path / "file.py").mkdir()
    else:
        (tmp_path / "file.py").symlink_to(tmp_path / "other")
    with pytest.raises(confined.PathBlocked):
        write(folder, b"new")
    with pytest.raises(confined.PathBlocked):
        durable_file.remove(folder, "file.py")
    assert (tmp_path / "other").read_text() == "kept"
    assert names(tmp_path) == ["file.py", "other"]


def test_a_fault_in_the_middle_leaves_the_old_file_and_nothing_else(folder, tmp_path):
    def chunks():
        yield b"half"
        raise ConnectionResetError

    write(folder, b"old")
    with pytest.raises(disk_faults.DiskUnavailable):
        durable_file.write(folder, "file.py", chunks(), replace=True)
    assert (tmp_path / "file.py").read_bytes() == b"old"
    assert names(tmp_path) == ["file.py"]


@contextmanager
def no_file_larger_than(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_without_room_leaves_the_old_file_and_nothing_else(folder, tmp_path):
    write(folder, b"old")
    # Larger than what pytest's own files need at this moment is not asked for: only this file is written.
    with no_file_larger_than(1 << 20), pytest.raises(disk_faults.DiskFull) as refused:
        durable_file.write(folder, "file.py", [b"b" * (1 << 19)] * 3, replace=True)
    assert str(tmp_path) not in refused.value.detail
    assert (tmp_path / "file.py").read_bytes() == b"old"
    assert names(tmp_path) == ["file.py"]


WRITER = """
import os, sys
from itertools import count
from airflow_rest_api.services.files import durable_file
folder = os.open(sys.argv[1], os.O_RDONLY)
for number in count():
    durable_file.write(folder, "file.py", [b"%d\\n" % number * 50_000], replace=True)
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_whole_file_and_a_rest_that_is_swept(folder, tmp_path):
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.05)
            writer.kill()
        lines = (tmp_path / "file.py").read_bytes().splitlines()
        assert len(lines) == 50_000
        assert len(set(lines)) == 1
    # What lives no longer may be a writer's at work; after its time it is nobody's.
    (tmp_path / f"{confined.RESERVED}-0.tmp").write_text("rest")
    assert durable_file.sweep(folder, older_than=60) == 0
    assert durable_file.sweep(folder, older_than=-1) >= 1
    assert names(tmp_path) == ["file.py"]


def test_a_file_is_removed_once(folder, tmp_path):
    write(folder, b"content")
    durable_file.remove(folder, "file.py")
    assert names(tmp_path) == []
    with pytest.raises(confined.PathNotFound):
        durable_file.remove(folder, "file.py")
