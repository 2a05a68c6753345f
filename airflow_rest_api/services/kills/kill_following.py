"""Following a kill: from the request until each process is gone, lives on, or is beyond what can be known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select

from airflow_rest_api.services import errors
from airflow_rest_api.services.background import Rests
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.kills import killing
from airflow_rest_api.services.kills.task_processes import Sight, Trace
from airflow_rest_api.services.report import Report
from airflow_rest_api.supervision import processes

Entry = dict[str, Any]

# What there is to follow of a task instance: its process on this host; a process that cannot be seen from here; one
# that was on its way to be started; or none.
HERE, ELSEWHERE, UNSTARTED, NEVER = "here", "elsewhere", "unstarted", "never"

REQUESTED, SIGNALLED = "requested", "signalled"
GONE, STILL_ALIVE, UNVERIFIABLE = "gone", "still_alive", "unverifiable"
# From the best to the worst that can be said of several.
_ORDER = (GONE, UNVERIFIABLE, SIGNALLED, REQUESTED, STILL_ALIVE)
_ENDS = frozenset({GONE, STILL_ALIVE, UNVERIFIABLE})

LOOK_SECONDS = 0.25
# Where nothing can be seen, nothing changes before the deadline.
IDLE_SECONDS = 2.0
# How often a look at whether the operation was cancelled is due.
CHECK_SECONDS = 2.0
# A process may be born while the table is read; what it comes of is seen to be gone twice.
CLEAN_LOOKS = 2
# So long after the kill, nobody writes any more what was decided on the state before it: SQLite locks no rows.
STALE_SECONDS = 1.0
_AT_ONCE = 500
_INSTANCE = TaskInstance.__table__.c


class TasksLiveOn(errors.Conflict):
    """Of what was killed, processes go on."""

    title = "Killed tasks live on"

    def __init__(self, living: Sequence[Entry], counts: Entry) -> None:
        first = living[0]
        index = "" if first["map_index"] == -1 else f"[{first['map_index']}]"
        others = f", and {len(living) - 1} more" if len(living) > 1 else ""
        super().__init__(
            f"The task '{first['task_id']}{index}' of the run '{first['dag_run_id']}' of the DAG "
            f"'{first['dag_id']}' lives on{others}: {first['detail']}",
            **counts,
        )


@dataclass
class Followed:
    """A task instance on its way out."""

    facts: Entry
    requested_at: datetime
    heartbeat: timedelta
    trace: Trace | None
    state: str = REQUESTED
    detail: str | None = None
    signalled_at: datetime | None = None
    ended_at: datetime | None = None
    clean: int = field(default=0, repr=False)

    @classmethod
    def of(cls, facts: Entry, request: Entry) -> Followed:
        """Begin to follow what the request has of a task instance."""
        followed = cls(
            facts,
            datetime.fromisoformat(request["requested_at"]),
            timedelta(seconds=request["heartbeat_seconds"]),
            Trace.of_json(facts["trace"]) if facts["trace"] else None,
        )
        if facts["proof"] == NEVER:
            followed._end(GONE, "It had no process.", followed.requested_at)
        return followed

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to find out."""
        return self.state in _ENDS

    def item(self) -> Entry:
        """Return it as callers see it."""
        names = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number", "former_state")
        return {
            **{name: self.facts[name] for name in names},
            "state": self.state,
            "detail": self.detail,
            **{name: self.facts[name] for name in ("pid", "hostname", "last_heartbeat_at", "deadline")},
            "requested_at": self.requested_at.isoformat(),
            "signalled_at": self.signalled_at and self.signalled_at.isoformat(),
            "ended_at": self.ended_at and self.ended_at.isoformat(),
        }

    def look(self, sight: Sight | None, now: datetime) -> None:
        """Find out what has become of it; without a sight, whatever was here is elsewhere."""
        if self.facts["proof"] == HERE and self.trace is not None and sight is not None:
            self._look_here(self.trace, sight, now)
        else:
            self._look_elsewhere(now)

    def start_was_refused(self, *, is_running: bool, now: datetime) -> None:
        """Say what became of one that was queued."""
        if is_running:
            self._end(STILL_ALIVE, "Airflow started it all the same; kill it once more.", now)
        elif now >= self.requested_at + timedelta(seconds=STALE_SECONDS):
            self._end(GONE, "It had not been started, and Airflow refuses to start it now.", now)

    def _look_here(self, trace: Trace, sight: Sight, now: datetime) -> None:
        alive, doubtful = trace.follow(sight)
        self.clean = 0 if alive or doubtful else self.clean + 1
        if self.clean >= CLEAN_LOOKS:
            self._end(GONE, "Its process and all that came of it are gone.", now)
        elif now >= datetime.fromisoformat(self.facts["deadline"]) and not self.clean:
            self._time_is_up(trace, sight, alive, doubtful, now)
        elif self.state == REQUESTED and self._is_signalled(trace, sight, alive, now):
            self._signalled(now)

    def _time_is_up(
        self, trace: Trace, sight: Sight, alive: Sequence[int], doubtful: Sequence[int], now: datetime
    ) -> None:
        if alive:
            self._end(STILL_ALIVE, f"{_named(alive)} on.{_of_supervisor(trace, sight)}", now)
        else:
            words = "of this mapped task; whose of its instances it is cannot be told."
            self._end(UNVERIFIABLE, f"{_named(doubtful)} on, {words}", now)

    def _is_signalled(self, trace: Trace, sight: Sight, alive: Sequence[int], now: datetime) -> bool:
        """Tell whether a supervisor that works has heard by now that its task is to end, or something of it has."""
        if trace.pid not in alive:
            return True
        supervisor = trace.supervising(sight)
        works = supervisor is not None and not supervisor.is_stopped
        return works and now >= self.requested_at + self.heartbeat

    def _look_elsewhere(self, now: datetime) -> None:
        if self.facts["proof"] == HERE:
            self._end(UNVERIFIABLE, "Who follows it now cannot see the processes of its host.", now)
        elif now >= datetime.fromisoformat(self.facts["deadline"]):
            self._end(UNVERIFIABLE, self._why_unseen(), now)
        elif self.state == REQUESTED and now >= self.requested_at + self.heartbeat:
            self._signalled(now)

    def _why_unseen(self) -> str:
        heard = self.facts["last_heartbeat_at"]
        silence = f"nothing was heard of it since {heard}" if heard else "nothing was ever heard of it"
        if self.facts["is_host_ours"]:
            return f"No such process is seen on this host, or it is another container's; {silence}."
        return f"The processes of the host '{self.facts['hostname']}' cannot be seen from here; {silence}."

    def _signalled(self, now: datetime) -> None:
        self.state, self.signalled_at = SIGNALLED, now

    def _end(self, state: str, detail: str, now: datetime) -> None:
        self.state, self.detail, self.ended_at = state, detail, now


def expected(request: Entry) -> list[Entry]:
    """Return the items with which the operation would begin."""
    return _items(request, [Followed.of(facts, request) for facts in request["tasks"]])


def follow(request: Entry, report: Report) -> Rests[Entry | None]:
    """Carry an operation out: look until all has come to its end, and tell each change.

    Raises `TasksLiveOn`.
    """
    followed = [Followed.of(facts, request) for facts in request["tasks"]]
    shown, checked = None, time.monotonic()
    while True:
        _look(request, followed)
        items = _items(request, followed)
        is_over = all(one.has_ended for one in followed)
        # The database may be away for a while; the processes are there without it.
        with suppress(errors.DatabaseUnavailable):
            if items != shown:
                report.show(items, sum(item["state"] in _ENDS for item in items))
                shown, checked = items, time.monotonic()
            elif time.monotonic() >= checked + CHECK_SECONDS:
                report.check()
                checked = time.monotonic()
        if is_over and shown == items:
            return _result(request, followed)
        yield LOOK_SECONDS if _sees_something(followed) else IDLE_SECONDS


def _look(request: Entry, followed: Iterable[Followed]) -> None:
    going_on = [one for one in followed if not one.has_ended]
    unstarted = [one for one in going_on if one.facts["proof"] == UNSTARTED]
    if unstarted:
        _look_at_starts(unstarted)
    rest = [one for one in going_on if one.facts["proof"] != UNSTARTED]
    sees = request["place"] is not None and request["place"] == processes.place()
    sight = Sight() if sees and any(one.trace for one in rest) else None
    now = datetime.now(timezone.utc)
    for one in rest:
        one.look(sight, now)


def _look_at_starts(unstarted: Sequence[Followed]) -> None:
    ids = [UUID(one.facts["instance_id"]) for one in unstarted]
    running: set[str] = set()
    with suppress(errors.DatabaseUnavailable), reading() as session:
        for begin in range(0, len(ids), _AT_ONCE):
            statement = select(_INSTANCE.id).where(
                _INSTANCE.id.in_(ids[begin : begin + _AT_ONCE]), _INSTANCE.state == killing.RUNNING
            )
            running |= {str(found) for found in session.scalars(statement)}
        now = datetime.now(timezone.utc)
        for one in unstarted:
            one.start_was_refused(is_running=one.facts["instance_id"] in running, now=now)


def _sees_something(followed: Iterable[Followed]) -> bool:
    going_on = (one for one in followed if not one.has_ended)
    return any(one.trace is not None or one.facts["proof"] == UNSTARTED for one in going_on)


def _items(request: Entry, followed: Sequence[Followed]) -> list[Entry]:
    if not request["is_by_run"]:
        return [one.item() for one in followed]
    of_runs: dict[tuple[str, str], list[Entry]] = {}
    for one in followed:
        of_runs.setdefault((one.facts["dag_id"], one.facts["dag_run_id"]), []).append(one.item())
    return [_of_run(run, of_runs.get((run["dag_id"], run["dag_run_id"]), [])) for run in request["runs"]]


def _of_run(run: Entry, tasks: Sequence[Entry]) -> Entry:
    """Return the item of a run: the worst that is to be said of its tasks, and those that had a process."""
    states = {task["state"] for task in tasks} | {GONE}
    going_on = states - _ENDS
    worst = max(going_on or states, key=_ORDER.index)
    return {**run, "state": worst, "task_instances": list(tasks)}


def _result(request: Entry, followed: Sequence[Followed]) -> Entry:
    counts = Counter(one.state for one in followed)
    killed = sum(run["killed"] for run in request["runs"])
    # Those that are not listed had no process.
    counts[GONE] += killed - len(followed)
    left = sorted({task_id for run in request["runs"] for task_id in run["teardowns_left"]})
    result = {
        "killed": killed,
        **{state: counts[state] for state in (GONE, STILL_ALIVE, UNVERIFIABLE)},
        **({"runs": len(request["runs"])} if request["is_by_run"] else {"teardowns_left": left}),
        **request["told"],
    }
    living = [one.item() for one in followed if one.state == STILL_ALIVE]
    if living:
        raise TasksLiveOn(living, result)
    return result


def _named(pids: Sequence[int]) -> str:
    if len(pids) == 1:
        return f"The process {pids[0]} goes"
    more = f" and {len(pids) - 5} more" if len(pids) > 5 else ""
    return f"The processes {', '.join(map(str, pids[:5]))}{more} go"


def _of_supervisor(trace: Trace, sight: Sight) -> str:
    """Say why nobody ends the processes, where that can be seen."""
    supervisor = trace.supervising(sight)
    if supervisor is None:
        return " Its supervisor has gone, so nobody ends them."
    if supervisor.is_stopped:
        return f" Its supervisor, the process {supervisor.mark.pid}, is stopped, so nobody ends them."
    return ""
