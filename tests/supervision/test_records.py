"""Records and folders: never half of one, and nothing that another has put there."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from airflow_rest_api.supervision import folders, processes, records
from airflow_rest_api.supervision.families import Family
from airflow_rest_api.supervision.folders import Folder, UnsafeFolder
from airflow_rest_api.supervision.keeper import own_mark
from airflow_rest_api.supervision.processes import Mark
from airflow_rest_api.supervision.records import Record
from airflow_rest_api.supervision.registry import NotStarted, Registry
from tests.support import components
from tests.support.components import alive, order, state_of, until


def record(**changes) -> Record:
    nobody = Mark(1 << 21, 1)
    place = processes.place()
    assert place
    known = Record("marker", place, "running", ("/bin/true",), True, 1.5, nobody, nobody, nobody, last=nobody)
    return replace(known, **changes)


class TestRecords:
    def test_what_is_written_is_read(self, folder):
        assert records.read(folder) is None
        for number in range(3):
            written = record(restarts=number, started_at="2026-01-01T00:00:00+00:00", exit_code=-9)
            records.write(folder, written)
            assert records.read(folder) == written

    def test_a_reader_never_sees_half_of_one(self, folder):
        over = threading.Event()

        def write() -> None:
            number = 0
            while not over.is_set():
                number += 1
                records.write(folder, record(restarts=number, argv=(str(number) * (number % 3000),)))

        records.write(folder, record())
        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = [records.read(folder) for _ in range(2_000)]
        finally:
            over.set()
            writer.join()
        assert None not in seen
        numbers = [one.restarts for one in seen]
        # A reader that is overtaken between opening and reading may be given the one before.
        assert all(later >= earlier - 1 for earlier, later in pairwise(numbers))
        assert all(one.argv == (str(one.restarts) * (one.restarts % 3000),) for one in seen if one.restarts)

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"[]\n4f53", b"\xff" * 16_384], ids=["empty", "short", "list", "noise"]
    )
    def test_what_is_no_record_is_none(self, folder, content):
        (folder.path / "record").write_bytes(content)
        assert records.read(folder) is None
        records.write(folder, record())
        assert records.read(folder) == record()

    def test_a_link_is_not_followed(self, folder, tmp_path):
        target = tmp_path / "target"
        target.write_bytes(record().as_bytes())
        for name in ("record", "record.spare"):
            (folder.path / name).symlink_to(target)
        assert records.read(folder) is None
        records.write(folder, record(restarts=1))
        assert records.read(folder) == record(restarts=1)
        assert target.read_bytes() == record().as_bytes()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_what_belongs_to_another_is_not_there(self, folder, tmp_path):
        records.write(folder, record())
        os.chown(folder.path / "record", 12345, 12345)
        assert records.read(folder) is None
        os.chown(folder.path, 12345, 12345)
        with pytest.raises(UnsafeFolder):
            Folder(folder.path)
        with folders.entered(folder.path) as entered:
            assert entered is None

    def test_a_folder_that_is_a_link_is_not_entered(self, folder, tmp_path):
        (tmp_path / "link").symlink_to(folder.path)
        with folders.entered(tmp_path / "link") as entered:
            assert entered is None
        with pytest.raises(UnsafeFolder):
            folders.make(tmp_path / "link")

    def test_a_folder_is_closed_to_others(self, folder):
        folder.path.chmod(0o777)
        Folder(folder.path).close()
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700

    @pytest.mark.parametrize("is_known", [True, False], ids=["exchange", "no exchange"])
    def test_a_disk_without_room_keeps_the_record(self, tmp_path, is_known, monkeypatch):
        if not is_known:
            monkeypatch.setattr(records, "_exchanged", lambda folder: False)
        with small_disk(tmp_path) as place:
            folders.make(place / "instance")
            with folders.entered(place / "instance") as folder:
                records.write(folder, record())
                fill(place)
                for number in range(5):
                    records.write(folder, record(restarts=number))
                    assert records.read(folder).restarts == number


class TestForgeries:
    """A record that names a process which is not the one that is meant: nobody hears anything."""

    @pytest.fixture
    def other(self):
        process = subprocess.Popen(["/bin/sleep", "300"])
        yield process
        process.kill()
        process.wait()

    @pytest.mark.parametrize("lie", ["reused", "rebooted", "elsewhere"])
    def test_a_number_that_is_anothers_is_nobody(self, registry, other, lie):
        registry.start(order("print('done')"))
        path = state_of(registry, "exited").log_file.parent
        mark = processes.look(other.pid).mark
        if lie == "reused":
            mark = Mark(mark.pid, mark.began - 1)
        place = {"rebooted": processes.place().replace("-", "0"), "elsewhere": "x/y/z"}.get(
            lie, processes.place()
        )
        with folders.entered(path) as folder:
            records.write(folder, record(place=place, mark=mark, last=mark, keeper=mark, guardian=mark))
        found = registry.find("scheduler")
        assert (found.state, found.pid) == ("failed" if lie == "reused" else "exited", None)
        assert (found.supervisor_pid, found.processes, found.memory_bytes) == (None, 0, None)
        registry.stop("scheduler", None)
        registry.start(order())
        assert alive(registry).pid != other.pid
        registry.stop("scheduler", None)
        state_of(registry, "exited")
        assert other.poll() is None
        assert processes.look(other.pid).is_stopped is False

    def test_a_family_has_nobody_who_has_been_given_its_numbers(self):
        # This process, and a session, have numbers that a component may have had before.
        leader = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True)
        try:
            table = processes.table()
            mine = own_mark()
            later = Mark(mine.pid, mine.began + 1)
            assert Family("marker", later, frozenset()).members(table) == []
            assert Family("marker", Mark(leader.pid, 1), frozenset()).members(table) == []
            assert Family("marker", later, frozenset({later})).members(table) == []
        finally:
            leader.kill()
            leader.wait()


class TestDisk:
    def test_a_full_disk_neither_ends_it_nor_hides_it(self, tmp_path):
        with small_disk(tmp_path) as place, components.registry_in(place) as registry:
            started = registry.start(order(components.FLOODING, restart=True))
            until(lambda: registry.read_log("scheduler").end > 100_000)
            fill(place)
            time.sleep(0.5)
            found = registry.find("scheduler")
            assert (found.state, found.pid) == ("running", started.pid)
            components.kill(found.pid)
            again = until(lambda: (one := registry.find("scheduler")).restarts == 1 and one)
            assert again.pid != started.pid
            registry.stop("scheduler", None)
            assert state_of(registry, "exited").exit_code == -15

    def test_without_room_for_a_record_nothing_is_started(self, tmp_path):
        with small_disk(tmp_path) as place:
            registry = Registry(place / "components")
            fill(place)
            with pytest.raises(NotStarted, match="No space"):
                registry.start(order())
            assert registry.find("scheduler") is None
            until(lambda: not components.below(place))


@contextmanager
def small_disk(tmp_path):
    """A folder that has room for 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place) -> None:
    """Leave no room on a disk."""
    with (place / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
