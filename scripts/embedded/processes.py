"""Processes: start them in sessions of their own, find all that came of them, end them for sure.

Airflow's tasks and daemons leave the process group of whoever started them, and rename themselves so that
`/proc/PID/environ` is overwritten: on Linux their line of descent is kept by making the parent a "child
subreaper", which inherits every orphan. Elsewhere only descendants whose parents are alive are found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Loaded before any fork: between fork and exec nothing but the system call itself may happen.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Mark:
    """A process group as it can be told from a later one with the same number."""

    group: int
    born: float


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def follow_parent(sign: signal.Signals, parent: int) -> None:
    """Have this process signalled when its parent ends, or at once where it has ended (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, sign, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), sign)


def spawn(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, its output appended to `log`; it is killed when we end."""
    parent = os.getpid()
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: follow_parent(signal.SIGKILL, parent),  # noqa: PLW1509 no threads run here
        )


def mark(process: psutil.Process) -> Mark:
    """How to recognise this process's group after a restart of ours."""
    return Mark(process.pid, process.create_time())


def descendants() -> list[psutil.Process]:
    """Every living process that came of this one; the dead among its own children are buried on the way."""
    return [process for process in psutil.Process().children(recursive=True) if not _buried(process)]


def orphans_of(group: int) -> list[psutil.Process]:
    """Inherited processes of a process group whose leader has ended."""
    found = []
    for process in psutil.Process().children():
        with suppress(ProcessLookupError):
            if process.pid != group and os.getpgid(process.pid) == group and not _buried(process):
                found.append(process)
    return found


def end_all(targets: Callable[[], Iterable[psutil.Process]], grace: float, hurry: Callable[[], bool]) -> None:
    """Send TERM to every group of the targets, wait `grace` seconds or until in a hurry, kill the rest."""
    for group in _groups(targets()):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while list(targets()) and time.monotonic() < deadline and not hurry():
        time.sleep(0.1)
    deadline = time.monotonic() + 10
    while (left := list(targets())) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)


def survivors(marks: Iterable[Mark]) -> list[psutil.Process]:
    """Members of the marked process groups that still live, with all that came of them."""
    # A group's number is not given away while it has members: a leader of another age, or a boot since, means
    # that the group is another one.
    valid = {known.group for known in marks if known.born >= psutil.boot_time() and not _reused(known)}
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) in valid and "airflow" in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


def _reused(known: Mark) -> bool:
    try:
        return abs(psutil.Process(known.group).create_time() - known.born) > 1
    except psutil.NoSuchProcess:
        return False


def _groups(processes: Iterable[psutil.Process]) -> set[int]:
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(process.pid))
    return groups - {os.getpgrp()}


def _buried(process: psutil.Process) -> bool:
    """Whether the process is dead; an inherited one is waited for, so that it does not stay a zombie."""
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return True
