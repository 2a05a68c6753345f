"""Families: all processes that came of a component, whoever their parents are by now, and signals to them.

A signal goes to a process that is held by a descriptor (pidfd), after it has been compared with the one that is meant:
a number that has been given to another process meanwhile reaches nobody.
"""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_rest_api.supervision import processes
from airflow_rest_api.supervision.orders import KEEPS, MARKER
from airflow_rest_api.supervision.processes import Mark, Process, Table

_TICK_SECONDS = 0.01


@dataclass(frozen=True)
class Family:
    """A component's processes are known by their parents, sessions, groups, and the ``marker`` in their environment.

    ``first`` is the first of them, which led a session of its own; ``keepers`` are those that adopt orphans.
    """

    marker: str
    first: Mark | None
    keepers: frozenset[Mark]

    def members(self, table: Table, *, thoroughly: bool = True) -> list[Process]:
        """Return those that live; not ``thoroughly``: without looking for orphans that nobody has adopted."""
        children = _children(table)
        waiting = [self.first.pid] if self.first is not None and _is(table, self.first) else []
        for keeper in self.keepers:
            if _is(table, keeper) and table[keeper.pid].is_alive:
                waiting += children[keeper.pid]
        if thoroughly:
            waiting += [pid for pid in table if self._is_marked(pid) or self._is_of_session(table, pid)]
        found: dict[int, Process] = {}
        while waiting:
            pid = waiting.pop()
            if pid not in found and not self._is_another(table[pid]):
                found[pid] = table[pid]
                waiting += children[pid]
        return [process for process in found.values() if process.is_alive]

    def group(self, table: Table) -> list[Process]:
        """Return the living members of the process group that the first process leads."""
        if self.first is None or not _is(table, self.first):
            return []
        return [process for process in table.values() if process.group == self.first.pid and process.is_alive]

    def _is_of_session(self, table: Table, pid: int) -> bool:
        """Tell whether a process is of the session, or the group, that the first one led.

        The kernel gives the number of a leader to nobody as long as somebody is left of its session or group; later it
        may be another leader's, whose processes have other variables. A process that changes its title loses its own.
        """
        first, process = self.first, table[pid]
        if first is None or first.pid not in (process.session, process.group):
            return False
        is_taken = first.pid in table and not _is(table, first)
        return not is_taken and process.mark.began >= first.began and not processes.has_variables(pid)

    def _is_marked(self, pid: int) -> bool:
        return processes.variables(pid, (MARKER,)).get(MARKER) == self.marker

    def _is_another(self, process: Process) -> bool:
        """Tell whether a process keeps a component, ours or one that ours has had started, or is of such a one."""
        variables = processes.variables(process.mark.pid, (KEEPS, MARKER))
        is_marked_otherwise = variables.get(MARKER, self.marker) != self.marker
        return process.mark in self.keepers or KEEPS in variables or is_marked_otherwise


def _children(table: Table) -> defaultdict[int, list[int]]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, process in table.items():
        children[process.parent].append(pid)
    return children


def _is(table: Table, mark: Mark) -> bool:
    process = table.get(mark.pid)
    return process is not None and process.mark == mark


def lives(mark: Mark | None) -> bool:
    """Tell whether a process lives, and is the one that is meant."""
    process = processes.look(mark.pid) if mark is not None else None
    return process is not None and process.mark == mark and process.is_alive


def hold(mark: Mark) -> int | None:
    """Return a descriptor of a process (pidfd), None when it has gone, though its number may be another's."""
    try:
        descriptor = os.pidfd_open(mark.pid)
    except OSError:
        return None
    process = processes.look(mark.pid)
    # Looked at after it is held: what is there now was there then, or the number would be another's.
    if process is not None and process.mark == mark:
        return descriptor
    os.close(descriptor)
    return None


def send(marks: Iterable[Mark], number: int) -> None:
    """Send a signal to those of these processes that are still there."""
    for mark in marks:
        descriptor = hold(mark)
        if descriptor is None:
            continue
        try:
            signal.pidfd_send_signal(descriptor, number)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def kill(family: Family, seconds: float) -> bool:
    """Kill a family until nobody is left; False when somebody is after that time."""
    deadline = time.monotonic() + seconds
    while members := family.members(processes.table()):
        marks = [process.mark for process in members]
        # First all are stopped from having children of their own.
        send(marks, signal.SIGSTOP)
        send(marks, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_TICK_SECONDS)
    return True


def bury() -> dict[int, int]:
    """Ask for the exit codes of the children of this process that have ended; a signal's number counts negative."""
    ended = {}
    try:
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = os.waitstatus_to_exitcode(child[1])
    except ChildProcessError:
        pass
    return ended
