"""Components that are cheap to start: processes with children, which the supervision of ours keeps."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from airflow_rest_api.supervision.registry import ENDED, Order, Registry, Supervised, Unknown
from tests.support import environment

Found = TypeVar("Found")
SECONDS = 20.0

# With a child, and one that has left its session and its parent.
WITH_CHILDREN = """
import subprocess, time
subprocess.Popen(["sleep", "300"])
subprocess.run(["setsid", "-f", "sleep", "300"])
print("alive", flush=True)
time.sleep(300)
"""
CHATTY = WITH_CHILDREN.replace("time.sleep(300)", "\nwhile True: print('on', flush=True); time.sleep(.05)")
FLOODING = """
import sys, time
while True:
    sys.stdout.write("0123456789" * 99 + "123456789\\n")
    sys.stdout.flush()
    time.sleep(0.001)
"""
# It and a child say who they are when they are asked to end, the child at once.
TELLS_WHEN_ASKED = """
import os, signal, time
name = "first" if os.fork() else "child"
def tell(*_):
    time.sleep(0.3 if name == "first" else 0)
    print(name, flush=True)
    os._exit(3)
signal.signal(signal.SIGTERM, tell)
print("alive", flush=True)
while True:
    time.sleep(300)
"""
# What the first process of it is told, the children are not.
STUBBORN = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run(["setsid", "-f", "sleep", "300"])
print("alive", flush=True)
while True:
    time.sleep(300)
"""


def order(
    code: str = WITH_CHILDREN, *, component: str = "scheduler", instance: str | None = None, **how
) -> Order:
    """An order to run this code."""
    return Order(
        component,
        instance,
        (sys.executable, "-S", "-c", code),
        environment.without_coverage(os.environ),
        **{"grace_seconds": 5.0, **how},
    )


def until(look: Callable[[], Found | None], seconds: float = SECONDS) -> Found:
    """What is found when it is."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def state_of(
    registry: Registry, *states: str, component: str = "scheduler", instance: str | None = None
) -> Supervised:
    """The instance, when it is in one of these states."""

    def look() -> Supervised | None:
        found = registry.find(component, instance)
        return found if found is not None and found.state in states else None

    return until(look)


def alive(registry: Registry, processes: int = 3) -> Supervised:
    """The instance, when it and its children are there."""

    def look() -> Supervised | None:
        found = registry.find("scheduler")
        assert found is not None
        return found if found.state == "running" and found.pid and found.processes == processes else None

    return until(look)


def kept_by(registry: Registry) -> tuple[int, int]:
    """The numbers of the keeper and the guardian, when both are there."""

    def look() -> tuple[int, int] | None:
        found = registry.find("scheduler")
        assert found is not None
        with suppress(psutil.Error):
            guardian = psutil.Process(found.supervisor_pid).parent() if found.supervisor_pid else None
            if guardian is not None and "airflow_rest_api.supervision" in command_of(guardian):
                assert found.supervisor_pid
                return found.supervisor_pid, guardian.pid
        return None

    return until(look)


def keepers(folder: Path) -> list[psutil.Process]:
    """The keepers and the guardians of all instances below a folder."""
    return [process for process in below(folder) if "airflow_rest_api.supervision" in command_of(process)]


def kill_keepers(folder: Path) -> None:
    """Kill them all at once, before another can follow one of them."""
    while found := keepers(folder):
        for process in found:
            with suppress(psutil.Error):
                process.suspend()
        for process in found:
            kill(process)


def below(folder: Path) -> list[psutil.Process]:
    """The living processes that were started below a folder: keepers, components and what came of them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            place = Path(process.cwd())
            if place.is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def session_leaders(folder: Path) -> list[int]:
    """The numbers of the first processes of components below a folder."""
    found = []
    for process in below(folder):
        with suppress(ProcessLookupError):
            if "-c" in command_of(process) and os.getsid(process.pid) == process.pid:
                found.append(process.pid)
    return found


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process, empty when it has gone."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def kill(process: psutil.Process | int | None) -> None:
    """`kill -9`."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        assert process
        psutil.Process(process).kill() if isinstance(process, int) else process.kill()


@contextmanager
def registry_in(folder: Path) -> Iterator[Registry]:
    """A registry; what has been started through it is ended, and nothing may be left."""
    registry = Registry(folder / "components")
    try:
        yield registry
        for one in registry.all():
            with suppress(Unknown):
                registry.stop(one.component, one.instance, grace_seconds=0)
        until(lambda: all(one.state in ENDED for one in registry.all()))
        until(lambda: not below(folder), seconds=5)
    finally:
        for process in below(folder):
            process.send_signal(signal.SIGKILL)
