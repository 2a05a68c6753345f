"""Instances are started, found, asked to stop and read, whoever of their keepers is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import psutil
import pytest

from airflow_rest_api.supervision import folders
from airflow_rest_api.supervision import registry as registries
from airflow_rest_api.supervision.orders import KEEPS, MARKER, Order
from airflow_rest_api.supervision.registry import ENDED, AlreadyRunning, NotStarted, Registry, Unknown
from tests.support import components, environment
from tests.support.components import alive, order, state_of, until

# What a component finds itself in.
TELLS = """
import json, os, signal
held = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if name != "3"}
umask = os.umask(0)
told = {
    "held": sorted(held), "stdin": held["0"], "umask": umask, "session": os.getsid(0) == os.getpid(),
    "cwd": os.getcwd(), "ignored": [n for n in range(1, 32) if signal.getsignal(n) == signal.SIG_IGN],
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "environment": dict(os.environ),
}
print(json.dumps(told), flush=True)
"""


class TestStart:
    def test_it_returns_what_has_been_started(self, registry, tmp_path):
        before = datetime.now(timezone.utc)
        wanted = order()
        started = registry.start(wanted)
        assert (started.component, started.instance, started.state) == ("scheduler", None, "running")
        assert (started.argv, started.restarts, started.exit_code) == (wanted.argv, 0, None)
        assert before <= started.started_at <= datetime.now(timezone.utc)
        found = alive(registry)
        assert found.pid == started.pid
        assert psutil.Process(found.pid).cmdline() == list(wanted.argv)
        assert found.memory_bytes > 1 << 20
        assert found.cpu_percent >= 0
        assert [(one.pid, one.processes) for one in registry.all()] == [(found.pid, 3)]

    def test_it_is_nobodys_child_and_has_nothing_of_the_service(self, registry, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "held").open("w") as held:
            listening.set_inheritable(True)
            os.set_inheritable(held.fileno(), True)
            registry.start(order(f"{TELLS}\nimport time; time.sleep(300)"))
            line = until(lambda: registry.read_log("scheduler").content)
            for process in components.keepers(tmp_path):
                assert all(not process.net_connections() for process in components.below(tmp_path))
                assert [file.path for file in process.open_files() if "held" in file.path] == []
        told = json.loads(line)
        assert (told["held"], told["stdin"], told["umask"], told["session"]) == (
            ["0", "1", "2"],
            os.devnull,
            0o077,
            True,
        )
        assert Path(told["cwd"]).is_relative_to(tmp_path)
        # Python itself ignores these two.
        assert told["ignored"] == [13, 25]
        assert told["blocked"] == []
        assert MARKER in told["environment"]
        assert KEEPS not in told["environment"]
        parents = {process.ppid() for process in components.below(tmp_path)}
        assert os.getpid() not in parents
        assert [
            child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE
        ] == []

    def test_neither_environment_nor_secrets_are_written_down(self, registry, tmp_path):
        wanted = order()
        registry.start(
            Order(**{**wanted.as_json(), "argv": wanted.argv, "environment": {"PASSWORD": "canary-1"}})
        )
        alive(registry)
        written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert written
        assert not any(b"canary-1" in content for content in written)
        assert not any("canary-1" in " ".join(process.cmdline()) for process in components.below(tmp_path))

    def test_what_is_kept_is_for_its_owner_alone(self, registry, tmp_path):
        registry.start(order())
        for path in (tmp_path / "components").rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path

    def test_there_is_one_of_a_name(self, registry):
        registry.start(order())
        with pytest.raises(AlreadyRunning):
            registry.start(order())
        second = registry.start(order(instance="two"))
        assert second.pid != registry.find("scheduler").pid
        assert [(one.component, one.instance) for one in registry.all()] == [
            ("scheduler", None),
            ("scheduler", "two"),
        ]

    def test_of_many_at_once_one_is_started(self, registry, tmp_path):
        def start(_: int) -> bool:
            try:
                Registry(tmp_path / "components").start(order())
            except AlreadyRunning:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(start, range(8))) == [False] * 7 + [True]
        alive(registry)
        commands = [components.command_of(process) for process in components.below(tmp_path)]
        assert sum("-c" in command for command in commands) == 1

    def test_a_program_that_cannot_be_run_is_told(self, registry):
        lost = Order("scheduler", None, ("/no/such/program",), {}, restart=True)
        with pytest.raises(NotStarted, match="No such file"):
            registry.start(lost)
        found = state_of(registry, "failed")
        assert (found.exit_code, found.pid, found.processes) == (127, None, 0)
        registry.start(order())

    @pytest.mark.parametrize("name", ["", "..", "a/b", "a\0", "a" * 65, "ä", "a\n", "a@b", "../../x"])
    def test_an_instance_has_a_name_that_is_no_path(self, registry, name, tmp_path):
        if name == "..":
            # This one is a name like any other, beside that of the component.
            assert registry.start(order(instance=name)).log_file.parent.name == "scheduler@.."
            return
        with pytest.raises(ValueError, match="name"):
            order(instance=name)
        with pytest.raises(ValueError, match="name"):
            registry.find("scheduler", name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"component": "../x"},
            {"argv": ()},
            {"argv": ("sleep",)},
            {"argv": ("/bin/sleep", "\0")},
            {"log_files": 0},
        ],
        ids=["component", "no argv", "no path", "zero byte", "no log"],
    )
    def test_an_order_that_cannot_be_is_refused(self, wrong):
        with pytest.raises(ValueError, match=r"\."):
            Order(
                **{
                    "component": "scheduler",
                    "instance": None,
                    "argv": ("/bin/true",),
                    "environment": {},
                    **wrong,
                }
            )


class TestEnd:
    def test_it_ends_with_all_that_came_of_it(self, registry, tmp_path):
        registry.start(order())
        alive(registry)
        assert registry.stop("scheduler", None).state in ("running", "stopping", "exited")
        found = state_of(registry, "exited")
        assert (found.pid, found.exit_code, found.processes, found.memory_bytes) == (None, -15, 0, None)
        until(lambda: not components.below(tmp_path))
        assert registry.stop("scheduler", None).state == "exited"

    def test_who_does_not_end_by_itself_is_killed(self, registry, tmp_path):
        registry.start(order(components.STUBBORN, grace_seconds=60))
        alive(registry, 2)
        registry.stop("scheduler", None, grace_seconds=0.3)
        begin = time.monotonic()
        assert state_of(registry, "exited").exit_code == -9
        assert 0.2 < time.monotonic() - begin < 5
        until(lambda: not components.below(tmp_path))

    def test_who_asks_again_may_shorten_the_grace(self, registry):
        registry.start(order(components.STUBBORN, grace_seconds=60))
        alive(registry, 2)
        registry.stop("scheduler", None)
        assert state_of(registry, "stopping").pid
        registry.stop("scheduler", None, grace_seconds=0)
        assert state_of(registry, "exited").exit_code == -9

    @pytest.mark.parametrize("whole_group", [True, False], ids=["all", "first"])
    def test_the_group_or_its_first_process_is_asked(self, registry, whole_group):
        registry.start(order(components.TELLS_WHEN_ASKED, whole_group=whole_group))
        alive(registry, 2)
        until(lambda: registry.read_log("scheduler").content.count(b"alive") == 2)
        registry.stop("scheduler", None)
        assert state_of(registry, "exited").exit_code == 3
        # The child, where it is not asked with the first process, is so after that has ended.
        told = registry.read_log("scheduler", tail_lines=2).content.split()
        assert told == ([b"child", b"first"] if whole_group else [b"first", b"child"])

    def test_an_end_of_its_own_is_told(self, registry):
        registry.start(order("print('done')"))
        assert (state_of(registry, "exited").exit_code, registry.find("scheduler").restarts) == (0, 0)
        registry.start(order("import sys; sys.exit('broken')"))
        assert state_of(registry, "failed").exit_code == 1
        assert registry.read_log("scheduler", tail_lines=1).content == b"broken\n"
        assert (
            registry.read_log("scheduler", offset=registry.find("scheduler").log_offset).content
            == b"broken\n"
        )

    def test_what_was_never_started_is_unknown(self, registry):
        assert registry.find("scheduler") is None
        assert registry.all() == []
        with pytest.raises(Unknown):
            registry.stop("scheduler", None)
        with pytest.raises(Unknown):
            registry.read_log("scheduler")


class TestRestart:
    def test_it_is_started_again_after_a_pause_that_grows(self, registry):
        registry.start(order("import time; print('life', flush=True)", restart=True))
        assert state_of(registry, "backing_off").exit_code == 0
        found = until(lambda: (one := registry.find("scheduler")).restarts == 2 and one)
        # The third may not have said anything yet, or not to the end of the line.
        lives = registry.read_log("scheduler").content.split()
        assert lives[:2] == [b"life", b"life"]
        assert len(lives) <= 3
        assert 2.5 < (datetime.now(timezone.utc) - found.started_at).total_seconds() + 3 < 8
        registry.stop("scheduler", None)
        begin = time.monotonic()
        state_of(registry, "exited")
        assert time.monotonic() - begin < 10

    def test_what_is_left_of_a_killed_one_ends_before_it_comes_again(self, registry, tmp_path):
        first = registry.start(order(restart=True))
        alive(registry)
        components.kill(first.pid)
        begin = time.monotonic()
        found = state_of(registry, "backing_off")
        assert (found.exit_code, found.pid, found.processes) == (-9, None, 0)
        assert time.monotonic() - begin < 10
        again = alive(registry)
        assert (again.restarts, again.pid != first.pid) == (1, True)
        assert len(components.below(tmp_path)) == 5


class TestLoss:
    def test_a_killed_keeper_is_followed_by_another(self, registry, tmp_path):
        started = registry.start(order(restart=True))
        alive(registry)
        for _ in range(2):
            keeper, guardian = components.kept_by(registry)
            components.kill(keeper)
            now = until(lambda old=keeper: (kept := components.kept_by(registry))[0] != old and kept)
            assert (now[1], alive(registry).pid) == (guardian, started.pid)
        components.kill(started.pid)
        assert until(lambda: registry.find("scheduler").exit_code == -9)
        assert alive(registry).restarts == 1

    def test_a_killed_guardian_is_followed_by_its_keeper(self, registry):
        started = registry.start(order())
        alive(registry)
        for _ in range(2):
            keeper, guardian = components.kept_by(registry)
            components.kill(guardian)
            now = until(lambda old=keeper: (kept := components.kept_by(registry))[0] != old and kept)
            assert (now[1], alive(registry).pid) == (keeper, started.pid)
        registry.stop("scheduler", None)
        state_of(registry, "exited")

    def test_without_both_it_goes_on_and_is_given_others(self, registry, tmp_path):
        code = f"{components.WITH_CHILDREN}".replace(
            "time.sleep(300)", "\nwhile True: print('on', flush=True); time.sleep(.1)"
        )
        started = registry.start(order(code))
        alive(registry)
        components.kill_keepers(tmp_path)
        found = registry.find("scheduler")
        # Whoever looks has others keep it, and may see them already.
        assert (found.state, found.pid, found.processes) == ("running", started.pid, 3)
        with pytest.raises(AlreadyRunning):
            registry.start(order())
        found = until(lambda: (one := registry.find("scheduler")).supervisor_pid and one)
        assert (found.state, found.pid, found.processes) == ("running", started.pid, 3)
        end = registry.read_log("scheduler").end
        until(lambda: registry.read_log("scheduler").end > end)

    def test_without_both_it_is_stopped_all_the_same(self, registry, tmp_path):
        registry.start(order())
        alive(registry)
        components.kill_keepers(tmp_path)
        # Whoever looks has others keep it, who are asked then.
        looking = threading.Thread(target=registry.find, args=("scheduler",))
        looking.start()
        registry.stop("scheduler", None)
        looking.join()
        assert state_of(registry, "exited").processes == 0
        until(lambda: not components.below(tmp_path))

    def test_when_all_are_killed_what_is_left_of_it_ends_before_the_next(self, registry, tmp_path):
        started = registry.start(order(restart=True))
        alive(registry)
        components.kill_keepers(tmp_path)
        components.kill(started.pid)
        found = until(
            lambda: (one := registry.find("scheduler")).state == "failed" and one.processes == 2 and one
        )
        assert (found.pid, found.exit_code) == (None, None)
        again = registry.start(order())
        assert alive(registry).pid == again.pid
        until(lambda: len(components.below(tmp_path)) == 5)

    def test_it_survives_the_service(self, registry, tmp_path):
        program = f"""
import os, signal, sys
from pathlib import Path
from airflow_rest_api.supervision.registry import Registry
from tests.support.components import order
Registry(Path({str(tmp_path / "components")!r})).start(order())
os.killpg(0, signal.SIGKILL)
"""
        service = subprocess.run(
            [sys.executable, "-c", program],
            cwd=environment.ROOT,
            env=environment.without_coverage(os.environ),
            start_new_session=True,
            check=False,
        )
        assert service.returncode == -9
        assert alive(registry).supervisor_pid

    def test_whoever_is_killed_while_it_begins_it_is_there_once_or_not_at_all(self, registry, tmp_path):
        for seconds in (0.0, 0.01, 0.02, 0.03):
            with ThreadPoolExecutor(1) as pool:
                starting = pool.submit(registry.start, order())
                until(lambda: [one for one in components.keepers(tmp_path) if one.ppid() != os.getpid()])
                time.sleep(seconds)
                components.kill_keepers(tmp_path)
                begin = time.monotonic()
                with suppress(NotStarted):
                    assert starting.result().state in ("running", "failed")
                assert time.monotonic() - begin < 5
            found = registry.find("scheduler")
            assert len(components.session_leaders(tmp_path)) == (1 if found and found.pid else 0)
            if found is not None:
                registry.stop("scheduler", None, grace_seconds=0)
                until(lambda: not (one := registry.find("scheduler")).processes and one.state in ENDED)
            until(lambda: not components.below(tmp_path))

    @pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")], ids=["negative", "nan", "infinite"])
    def test_a_grace_is_a_number_of_seconds(self, registry, seconds):
        with pytest.raises(ValueError, match="seconds"):
            registry.stop("scheduler", None, grace_seconds=seconds)
        with pytest.raises(ValueError, match="positive"):
            order(grace_seconds=seconds)

    def test_whoever_tells_the_keepers_to_end_ends_the_instance(self, registry, tmp_path):
        for whose in (0, 1):
            registry.start(order())
            psutil.Process(components.kept_by(registry)[whose]).terminate()
            assert state_of(registry, "exited").exit_code == -15
            until(lambda: not components.below(tmp_path))

    @pytest.mark.parametrize("restart", [True, False], ids=["restart", "once"])
    def test_without_its_record_it_is_not_left_alone(self, registry, tmp_path, restart):
        started = registry.start(order(restart=restart))
        alive(registry)
        keeper, _ = components.kept_by(registry)
        psutil.Process(keeper).suspend()
        (started.log_file.parent / "record").unlink()
        components.kill(keeper)
        if restart:
            until(lambda: registry.find("scheduler"))
            assert alive(registry).pid != started.pid
        else:
            until(lambda: not components.below(tmp_path))
            assert registry.find("scheduler").state == "failed"

    def test_a_record_that_is_removed_is_written_again(self, registry):
        started = registry.start(order())
        (started.log_file.parent / "record").unlink()
        with pytest.raises(AlreadyRunning):
            registry.start(order())
        assert until(lambda: registry.find("scheduler"), seconds=5).pid == started.pid

    def test_whoever_removes_the_folder_ends_the_instance(self, registry, tmp_path):

        found = registry.start(order())
        alive(registry)
        shutil.rmtree(found.log_file.parent)
        until(
            lambda: (
                not any(
                    "-c" in components.command_of(one)
                    for one in components.below(Path("/"))
                    if one.pid == found.pid
                )
            )
        )


class TestMany:
    def test_one_that_a_component_has_started_goes_on_without_it(self, registry, tmp_path):
        code = f"""
import sys
sys.path[:0] = {[str(environment.ROOT), *sys.path]!r}
from pathlib import Path
from airflow_rest_api.supervision.registry import Registry
from tests.support import components
Registry(Path({str(tmp_path / "components")!r})).start(components.order(instance="inner"))
print("alive", flush=True)
import time; time.sleep(300)
"""
        registry.start(order(code))
        until(lambda: registry.read_log("scheduler").content)
        inner = until(lambda: (one := registry.find("scheduler", "inner")).processes == 3 and one)
        assert registry.find("scheduler").processes == 1
        registry.stop("scheduler", None)
        state_of(registry, "exited")
        found = registry.find("scheduler", "inner")
        assert (found.state, found.pid, found.processes) == ("running", inner.pid, 3)
        assert found.supervisor_pid == inner.supervisor_pid

    def test_the_oldest_that_have_ended_are_forgotten(self, registry, tmp_path, monkeypatch):
        def is_left(name):
            with folders.entered(registry._folder / registries.name_of("scheduler", name)) as folder:
                return not registries._is_locked(folder)

        monkeypatch.setattr(registries, "MOST_INSTANCES", 2)
        registry.start(order(instance="running"))
        for name in ("a", "b", "c"):
            registry.start(order("", instance=name))
            state_of(registry, "exited", instance=name)
            # Nothing is forgotten that has a keeper, and the keeper goes a moment after it has said so.
            until(lambda name=name: is_left(name))
        assert [one.instance for one in registry.all()] == ["c", "running"]
        assert registry.find("scheduler", "running").state == "running"
