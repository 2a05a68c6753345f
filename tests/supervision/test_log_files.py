"""Logs: a row of files that are never renamed, in which a place stays the same."""

from __future__ import annotations

import pytest

from airflow_rest_api.supervision import log_files
from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.log_files import LogPart, LogWriter
from tests.support import components
from tests.support.components import order, state_of


def writer(folder: Folder) -> LogWriter:
    return LogWriter(folder, most_bytes=10, files=3)


class TestWriting:
    def test_files_are_bounded_in_size_and_number(self, folder):
        log = writer(folder)
        log.write(b"0123456789" * 5 + b"abc")
        assert sorted(folder.names()) == ["log.30", "log.40", "log.50"]
        assert (folder.path / "log.40").read_bytes() == b"0123456789"
        assert (folder.path / "log.50").read_bytes() == b"abc"
        assert (log.end, log_files.newest(folder)) == (53, "log.50")

    def test_another_goes_on_where_the_last_has_ended(self, folder):
        writer(folder).write(b"0123456789abc")
        again = writer(folder)
        assert again.end == 13
        again.write(b"d" * 7 + b"e")
        assert (folder.path / "log.10").read_bytes() == b"abcddddddd"
        assert (folder.path / "log.20").read_bytes() == b"e"

    def test_what_has_no_room_is_lost_and_nothing_else(self, folder, monkeypatch):
        log = writer(folder)
        with monkeypatch.context() as broken:
            broken.setattr(log_files.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
            log.write(b"lost")
        log.write(b"kept")
        assert log_files.read(folder, 0, 100).content == b"kept"

    def test_while_no_file_can_be_made_the_last_one_grows(self, folder, monkeypatch):
        log = writer(folder)
        with monkeypatch.context() as broken:
            broken.setattr(folder, "open", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
            log.write(b"0123456789abc")
        log.write(b"d")
        assert (folder.path / "log.0").read_bytes() == b"0123456789abc"
        assert log_files.read(folder, 0, 100) == LogPart(b"0123456789abcd", 0, 14, 14)


class TestReading:
    def test_parts_go_on_across_files(self, folder):
        writer(folder).write(b"0123456789abcdefghijk")
        assert log_files.read(folder, 0, 4) == LogPart(b"0123", 0, 4, 21)
        assert log_files.read(folder, 8, 15) == LogPart(b"89abcdefghijk", 8, 21, 21)
        assert log_files.read(folder, 8, 4) == LogPart(b"89ab", 8, 12, 21)
        for beyond in (21, 22, 1000):
            assert log_files.read(folder, beyond, 4) == LogPart(b"", 21, 21, 21)

    def test_what_has_been_removed_is_left_out(self, folder):
        writer(folder).write(b"0123456789" * 4 + b"ab")
        assert log_files.read(folder, 0, 12) == LogPart(b"012345678901", 20, 32, 42)

    def test_an_empty_log_has_nothing(self, folder):
        assert log_files.read(folder, 5, 10) == log_files.tail(folder, 5, 10) == LogPart(b"", 0, 0, 0)
        assert log_files.newest(folder) == "log.0"

    @pytest.mark.parametrize(
        ("lines", "most", "expected"),
        [
            (1, 100, b"last"),
            (2, 100, b"third\nlast"),
            (9, 100, b"first\nsecond\nthird\nlast"),
            (9, 12, b"third\nlast"),
            (9, 3, b"ast"),
            (0, 100, b""),
        ],
        ids=["one", "two", "all", "whole lines", "a part of one", "none"],
    )
    def test_the_last_lines(self, folder, lines, most, expected):
        writer(folder).write(b"first\nsecond\nthird\nlast")
        part = log_files.tail(folder, lines, most)
        assert part == LogPart(expected, 23 - len(expected), 23, 23)

    def test_other_files_are_no_logs(self, folder, tmp_path):
        writer(folder).write(b"log")
        (tmp_path / "secret").write_bytes(b"secret")
        (folder.path / "log.3").symlink_to(tmp_path / "secret")
        (folder.path / "log.x").write_bytes(b"x")
        assert b"secret" not in log_files.read(folder, 0, 100).content


def test_a_component_that_writes_without_end_has_a_bounded_log(registry):
    wanted = order(
        components.FLOODING.replace("while True", "for _ in range(300)"), log_bytes=50_000, log_files=2
    )
    registry.start(wanted)
    found = state_of(registry, "exited")
    assert found.log_file.name == "log.250000"
    sizes = [path.stat().st_size for path in found.log_file.parent.glob("log.*")]
    assert (len(sizes), sum(sizes) <= 100_000) == (2, True)
    assert registry.read_log("scheduler").end == 300_000
