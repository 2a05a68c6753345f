"""Confined paths: no name that a caller can think of leads out of a root."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import pytest

from airflow_rest_api.services.files import confined

HOSTILE = [
    "",
    "/etc/passwd",
    "..",
    "../a",
    "a/../../b",
    "a//b",
    "a/",
    "./a",
    "a\\b",
    "..\\a",
    "C:a",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\u202eb",
    "a\u2028b",
    "a\ud800b",
    " a",
    "a ",
    "a.",
    "a/ /b",
    ".rest_api/a",
    ".REST_API/a",
    ".rest_api-x.tmp",
    "a/.rest_api",
    "b" * 256,
    "/".join(["bbbbbbb"] * 200),
    "\u00e4" * 128,
    "CON",
    "aux.py",
    "NUL.txt",
    "prn.tar.gz",
    "a/com1",
    "Lpt9.py/a",
    "COM\u00b9",
    "nul .txt",
    "CONIN$",
]


def names(folder):
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_path_is_refused(path):
    with pytest.raises(confined.BadPath):
        confined.segments(path)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a.py",
        "a/b/c.py",
        ".hidden",
        "ü/日本.sql",
        "a b",
        "-rf",
        "b" * 255,
        "console.py",
        "com10",
        "a.con",
    ],
)
def test_a_plain_path_is_taken(path):
    assert confined.segments(path) == tuple(path.split("/"))


def test_a_link_is_no_way_out(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "file").symlink_to(tmp_path / "secret" / "file")
    for path in ("link/file", "file"):
        with pytest.raises(confined.PathBlocked), confined.read(tmp_path / "root", path):
            pass
    with (
        pytest.raises(confined.PathBlocked),
        confined.open_folder(tmp_path / "root", ["link", "new"], create=True),
    ):
        pass
    assert names(tmp_path / "secret") == ["file"]


def test_what_is_no_plain_file_is_not_read(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in ("folder", "pipe"):
        with pytest.raises(confined.PathBlocked), confined.read(tmp_path, path):
            pass
    with pytest.raises(confined.PathNotFound), confined.read(tmp_path, "folder/absent"):
        pass
    with pytest.raises(confined.PathBlocked), confined.read(tmp_path, "pipe/inside"):
        pass


def test_folders_are_made_where_they_are_missing(tmp_path):
    with confined.open_folder(tmp_path, ["a", "b"], create=True) as folder:
        assert confined.kind_at(folder, "c") is None
    with confined.open_folder(tmp_path, ["a"]) as folder:
        assert confined.kind_at(folder, "b") == "folder"
    with pytest.raises(confined.PathNotFound), confined.open_folder(tmp_path, ["absent"]):
        pass


def test_a_folder_that_is_swapped_for_a_link_all_the_time_lets_nobody_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "swapped").mkdir(parents=True)
    outside.mkdir()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (root / "swapped").rename(root / "aside")
            (root / "swapped").symlink_to(outside)
            (root / "swapped").unlink()
            (root / "aside").rename(root / "swapped")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(300):
            with (
                suppress(confined.PathBlocked, confined.PathNotFound),
                confined.open_folder(root, ["swapped"]) as folder,
            ):
                os.close(os.open(f"file{number}", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    finally:
        done.set()
        swapper.join()
    assert names(outside) == []
