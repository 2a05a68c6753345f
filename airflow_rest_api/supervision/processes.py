"""Processes: what the kernel says of the processes that this one can see, and of what they were told.

Nothing here sends a signal. Only Linux's `/proc` is read: elsewhere, and where `/proc` is another namespace's, there is
nothing to see (`place` is None).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
# A zombie runs no more and holds nothing but its exit code, until its parent asks for that; X is on its way there.
_DEAD = frozenset("ZX")
_STOPPED = frozenset("Tt")


class Mark(NamedTuple):
    """One process for good: its number, which may be given anew, and when it began, in ticks since the boot."""

    pid: int
    began: int


class Process(NamedTuple):
    """A process at the time of a look."""

    mark: Mark
    parent: int
    group: int
    session: int
    is_alive: bool
    is_stopped: bool


Table = dict[int, Process]


def place() -> str | None:
    """Return what is the same for two processes if, and only if, they see the same processes; None sees none."""
    try:
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return None
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def table() -> Table:
    """Return all processes that can be seen, those too that are dead and not yet buried by their parents."""
    seen = (look(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return {process.mark.pid: process for process in seen if process is not None}


def look(pid: int) -> Process | None:
    """Return one process, if it is there and can be seen."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold some itself; proc(5) numbers the fields, the state is the third.
    state, parent, group, session, *fields = text[text.rindex(")") + 2 :].split()
    threads, began = int(fields[13]), int(fields[15])
    return Process(
        Mark(pid, began),
        int(parent),
        int(group),
        int(session),
        # A process whose first thread has ended looks dead while others go on.
        is_alive=state not in _DEAD or threads > 1,
        is_stopped=state in _STOPPED,
    )


def title(pid: int) -> str:
    """Return the command line of a process as it stands, with spaces between its parts; empty when it is not told."""
    return b" ".join(_told(pid, "cmdline")).decode(errors="replace").strip()


def variables(pid: int, names: Collection[str]) -> dict[str, str]:
    """Return those of the variables with which a process was started, as far as this one may know, and no others."""
    pairs = (entry.decode(errors="replace").partition("=") for entry in _told(pid, "environ"))
    return {name: value for name, _, value in pairs if name in names}


def has_variables(pid: int) -> bool:
    """Tell whether it is still told which variables a process was started with: a title is written over them."""
    return any(b"=" in entry for entry in _told(pid, "environ"))


def is_of_our_namespace(pid: int) -> bool:
    """Tell whether a process has its number in the namespace of this one, and not a second one in its own."""
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return line.split()[1:] == [str(pid)]
    return False


def is_hidden(pid: int) -> bool:
    """Tell whether there is a process with this number, though `table` may not show it (`hidepid` of `/proc`)."""
    return _answers(os.kill, pid)


def is_group_hidden(group: int) -> bool:
    """Tell whether the process group has members, though `table` may not show them."""
    return _answers(os.killpg, group)


def _answers(ask: Callable[[int, int], None], number: int) -> bool:
    # The signal 0 is none: the kernel only tells whether there is somebody to send one to.
    try:
        ask(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _told(pid: int, name: str) -> list[bytes]:
    try:
        return (_PROC / str(pid) / name).read_bytes().split(b"\0")
    except OSError:
        return []
