"""Task processes: the process of a task instance, and all that came of it, as a process table shows them.

Airflow's supervisor forks a process for each try, makes it the leader of a process group, reports its number, and lets
it call itself `airflow worker -- ID` after the id of the task instance, of which every try has one of its own
(`airflow.sdk.execution_time`, 3.3). What a task starts is found by its parents, process groups and sessions; what left
all of these, by that title or by the variables that Airflow gives to tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_rest_api.supervision import processes
from airflow_rest_api.supervision.processes import Mark, Process

Json = dict[str, Any]

_RUNNER = "airflow worker -- "
# There is none for the map index: what a mapped task has left behind may be any of its instances'.
_VARIABLES = (
    "AIRFLOW_CTX_DAG_ID",
    "AIRFLOW_CTX_DAG_RUN_ID",
    "AIRFLOW_CTX_TASK_ID",
    "AIRFLOW_CTX_TRY_NUMBER",
)


class Sight:
    """One look at all processes."""

    def __init__(self) -> None:
        self.table = processes.table()

    @cached_property
    def families(self) -> tuple[Mapping[int, list[int]], ...]:
        """The numbers of processes by those of their parents, of their groups, and of their sessions."""
        families: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list), defaultdict(list))
        for pid, process in self.table.items():
            for family, of in zip(families, (process.parent, process.group, process.session), strict=True):
                family[of].append(pid)
        return families

    @cached_property
    def titles(self) -> Mapping[int, str]:
        """The titles of the processes that call themselves Airflow's."""
        titles = ((pid, processes.title(pid)) for pid in self.table)
        return {pid: title for pid, title in titles if title.startswith("airflow ")}

    @cached_property
    def named(self) -> Mapping[str, list[int]]:
        """These processes by the last word of their titles: with supervisors and tasks, that is the instance's id."""
        found: dict[str, list[int]] = defaultdict(list)
        for pid, title in self.titles.items():
            found[title.rpartition(" ")[2]].append(pid)
        return found

    @cached_property
    def tasks(self) -> Mapping[tuple[str | None, ...], list[int]]:
        """The processes that were started with the variables of a task, by these."""
        found: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
        for pid in self.table:
            variables = processes.variables(pid, _VARIABLES)
            if variables:
                found[tuple(variables.get(name) for name in _VARIABLES)].append(pid)
        return found

    def ancestors(self, pid: int) -> Iterator[int]:
        """Yield a process and those from which it comes."""
        seen: set[int] = set()
        while pid in self.table and pid not in seen:
            yield pid
            seen.add(pid)
            pid = self.table[pid].parent


@dataclass
class Trace:
    """What is known of the process of one try, and of what came of it; it grows with every look."""

    instance_id: str
    pid: int
    variables: tuple[str, ...]
    is_mapped: bool
    supervisor: Mark | None
    # The session and the group of Airflow itself, which the process was born into.
    foreign: set[int]
    marks: set[Mark] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)

    def as_json(self) -> Json:
        """Return the trace as plain data, for another process to go on with."""
        return {
            "instance_id": self.instance_id,
            "pid": self.pid,
            "variables": list(self.variables),
            "is_mapped": self.is_mapped,
            "supervisor": self.supervisor,
            **{name: sorted(getattr(self, name)) for name in ("foreign", "marks", "groups", "sessions")},
        }

    @classmethod
    def of_json(cls, kept: Json) -> Trace:
        """Read what `as_json` has made."""
        return cls(
            kept["instance_id"],
            kept["pid"],
            tuple(kept["variables"]),
            kept["is_mapped"],
            Mark(*kept["supervisor"]) if kept["supervisor"] else None,
            set(kept["foreign"]),
            {Mark(*mark) for mark in kept["marks"]},
            set(kept["groups"]),
            set(kept["sessions"]),
        )

    def follow(self, sight: Sight) -> tuple[list[int], list[int]]:
        """Return the processes that live, as far as they can be seen: the task's, and those that may be another's.

        The second are of mapped tasks alone.
        """
        self._forget(sight)
        self._add(sight, self._named(sight))
        alive = {mark.pid for mark in self.marks}
        doubtful = [pid for pid in self._left_behind(sight) if pid not in alive]
        if not self.is_mapped:
            self._add(sight, doubtful)
            doubtful = []
        alive = {mark.pid for mark in self.marks if _lives(sight, mark)}
        hidden = {group for group in self.groups if group not in sight.families[1]}
        alive |= {group for group in hidden if processes.is_group_hidden(group)}
        return sorted(alive), sorted(pid for pid in doubtful if sight.table[pid].is_alive)

    def supervising(self, sight: Sight) -> Process | None:
        """Return the supervisor, if it lives."""
        if self.supervisor is None or not _is(sight, self.supervisor):
            return None
        process = sight.table[self.supervisor.pid]
        return process if process.is_alive else None

    def _forget(self, sight: Sight) -> None:
        """Forget the numbers that have been given to others since."""
        self.marks = {mark for mark in self.marks if mark.pid not in sight.table or _is(sight, mark)}
        self.groups = {number for number in self.groups if self._owns(sight, number)}
        self.sessions = {number for number in self.sessions if self._owns(sight, number)}

    def _owns(self, sight: Sight, number: int) -> bool:
        """Tell whether a group or a session is the task's: its leader is, or has gone.

        The kernel gives the number of a leader to nobody as long as somebody is left of its group or session.
        """
        leader = sight.table.get(number)
        return number not in self.foreign and (leader is None or leader.mark in self.marks)

    def _named(self, sight: Sight) -> list[int]:
        """Return the processes that call themselves the instance's: its own, and copies that it has made of itself."""
        named = sight.named.get(self.instance_id, ())
        return [pid for pid in named if sight.titles[pid] == _RUNNER + self.instance_id]

    def _left_behind(self, sight: Sight) -> list[int]:
        """Return the processes that have the task's variables and come of no other instance's process."""
        found = sight.tasks.get(self.variables, ())
        return [pid for pid in found if not self._is_of_another(sight, pid)]

    def _is_of_another(self, sight: Sight, pid: int) -> bool:
        titles = (sight.titles.get(ancestor, "") for ancestor in sight.ancestors(pid))
        return any(title.startswith(_RUNNER) and not title.endswith(self.instance_id) for title in titles)

    def _add(self, sight: Sight, pids: Iterable[int]) -> None:
        """Add these processes and what comes of those that are known: children, groups, sessions."""
        new = [*pids, *(mark.pid for mark in self.marks if _is(sight, mark))]
        for family, numbers in zip(sight.families[1:], (self.groups, self.sessions), strict=True):
            new += [pid for number in numbers for pid in family.get(number, ())]
        seen: set[int] = set()
        while new:
            pid = new.pop()
            if pid not in seen and pid in sight.table:
                seen.add(pid)
                new += self._adopt(sight, sight.table[pid])

    def _adopt(self, sight: Sight, process: Process) -> list[int]:
        """Add one process; return those that come of it."""
        parents, groups, sessions = sight.families
        self.marks.add(process.mark)
        related = list(parents.get(process.mark.pid, ()))
        for number, known, family in (
            (process.group, self.groups, groups),
            (process.session, self.sessions, sessions),
        ):
            if number not in known and self._owns(sight, number):
                known.add(number)
                related += family[number]
        return related


def find(
    sight: Sight, instance_id: str, pid: int | None, variables: Iterable[str], *, is_mapped: bool
) -> Trace | None:
    """Return the trace of a task instance whose process was reported as ``pid`` from a host of this one's name.

    None unless it is proven that this is a number of the namespace of this process: because the process is here and
    names the instance, or its supervisor is, and does. Where the supervisor alone is here, the process has gone.
    """
    named = [one for one in sight.named.get(instance_id, ()) if processes.is_of_our_namespace(one)]
    process = sight.table.get(pid) if pid is not None else None
    if pid is None or not named:
        return None
    if process is not None and pid not in named and process.parent not in named:
        process = None  # the number is another's by now
    supervisors = [one for one in named if one != pid and sight.titles[one] != _RUNNER + instance_id]
    supervisor = sight.table.get(process.parent if process else next(iter(supervisors), 0))
    born_into = supervisor or process or sight.table[named[0]]
    trace = Trace(
        instance_id,
        pid,
        tuple(variables),
        is_mapped,
        supervisor.mark if supervisor else None,
        foreign={born_into.session, supervisor.group if supervisor else 0},
        marks={process.mark} if process else set(),
        # Nobody else can have the number of a group that has members.
        groups=set() if pid in sight.table else {pid},
    )
    trace.follow(sight)
    return trace


def _is(sight: Sight, mark: Mark) -> bool:
    process = sight.table.get(mark.pid)
    return process is not None and process.mark == mark


def _lives(sight: Sight, mark: Mark) -> bool:
    if mark.pid in sight.table:
        return _is(sight, mark) and sight.table[mark.pid].is_alive
    return processes.is_hidden(mark.pid)
