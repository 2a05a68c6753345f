"""Processes: the family of a process, as the kernel tells it, whatever its members call themselves."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SECONDS = 5.0


def family(pid: int) -> list[int]:
    """Return all descendants of a process."""
    children: dict[int, list[int]] = defaultdict(list)
    for name in os.listdir("/proc"):  # noqa: PTH208 (a tenth of the time of a Path for each process)
        if name.isdigit():
            with suppress(OSError, IndexError):
                children[_parent(name)].append(int(name))
    found, waiting = [], [pid]
    while waiting:
        born = children[waiting.pop()]
        found += born
        waiting += born
    return found


def _parent(name: str) -> int:
    # The name of a program may hold blanks and brackets; what follows its last bracket does not.
    return int(Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()[1])


def memory_of_family(pid: int) -> int:
    """Return how many bytes the descendants of a process use; what several share is counted once.

    What a fork has in common with the process that it came from is not counted as long as both is little.
    """
    members = family(pid)
    resident = {member: _resident(member) for member in members}
    least = min(resident.values(), default=0)
    # Cheap first: only what could be too much is told apart exactly.
    if sum(resident.values()) - least * max(len(resident) - 1, 0) < 1 << 30:
        return sum(resident.values()) - least * max(len(resident) - 1, 0)
    return sum(map(_proportional, members))


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    # A process without the right to look is not told how much of it is shared.
    return _resident(pid)


def written_by_family(pid: int) -> int:
    """Return how many bytes the descendants of a process, and those of them that have ended, have written."""
    return sum(map(_written, family(pid)))


def _written(pid: int) -> int:
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/io").read_bytes().splitlines()
        return max(int(line.split()[1]) for line in lines if line.startswith((b"wchar:", b"write_bytes:")))
    return 0


def tasks_of(user: int) -> int:
    """Return how many threads the processes of a user have."""
    return sum(_tasks(name) for name in os.listdir("/proc") if name.isdigit() and _is_of(name, user))  # noqa: PTH208


def _is_of(name: str, user: int) -> bool:
    with suppress(OSError):
        return Path("/proc", name).stat().st_uid == user
    return False


def _tasks(name: str) -> int:
    with suppress(OSError):
        return len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208
    return 0


def kill_family(pid: int) -> None:
    """Kill the descendants of this process, which has to be their reaper, until there are none."""
    deadline = time.monotonic() + _SECONDS
    while members := family(pid):
        for member in members:
            with suppress(OSError):
                # First all are stopped from having children of their own.
                os.kill(member, signal.SIGSTOP)
        for member in members:
            with suppress(OSError):
                os.kill(member, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)
