"""Following logs: reading what one try of a task instance writes, piece by piece, until the try has really ended.

What a try writes on this host is read from its file where the last piece ended; anything else through Airflow's own
reader.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psutil
from airflow._shared.timezones import timezone
from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from airflow.models.trigger import Trigger
from airflow.utils.net import get_hostname
from airflow.utils.state import State
from sqlalchemy import select, tuple_

from airflow_rest_api.services.database import reading
from airflow_rest_api.services.sources import Piece, Source
from airflow_rest_api.services.task_instances.log_pieces import Pieces
from airflow_rest_api.services.task_instances.task_instance_rows import RUN, SAME_RUN, TASK_INSTANCE

Key = tuple[str, str, str, int]

# A process may write on after its state is known: Airflow gives it so long after a success, and kills it sooner else.
_OVERTIME_SECONDS = conf.getint("core", "task_success_overtime", fallback=20) + 5
# How long nothing may come before a log whose try is over counts as whole: here, and where it is fetched from.
QUIET_SECONDS, QUIET_ELSEWHERE_SECONDS = 2.0, 6.0
# A try whose end lies back so far writes no more.
_LONG_AGO_SECONDS = 60.0
_TI = TASK_INSTANCE.c
_OVER = frozenset({*State.finished, "up_for_retry"})
_NEVER = frozenset({*State.finished_dr_states})


class Present(NamedTuple):
    """A task instance as it is now; its id is another one with each new try."""

    id: UUID
    state: str | None
    try_number: int
    hostname: str | None
    pid: int | None
    end_date: datetime | None
    run_state: str
    is_triggered: bool


_STATEMENT = select(
    _TI.dag_id,
    _TI.run_id,
    _TI.task_id,
    _TI.map_index,
    _TI.id,
    _TI.state,
    _TI.try_number,
    _TI.hostname,
    _TI.pid,
    _TI.end_date,
    RUN.c.state,
    select(Trigger.__table__.c.triggerer_id.is_not(None))
    .where(Trigger.__table__.c.id == _TI.trigger_id)
    .scalar_subquery(),
).select_from(TASK_INSTANCE.join(DagRun.__table__, SAME_RUN))


class LogSource(Source):
    """The log of one try, from its beginning or after as many messages as a token told of."""

    def __init__(self, key: Key, try_number: int, pieces: Pieces, present: Present | None) -> None:
        self.key = key
        self._try_number = try_number
        self._pieces = pieces
        self._id = present.id if present and present.try_number == try_number else None
        self._present = present
        self._over_since: float | None = None
        self._last_came = time.monotonic()

    def may_come(self) -> bool:
        """Tell whether the try is the one that its task comes to next."""
        now = self._present
        return now is not None and now.try_number == self._try_number - 1 and not self._is_over()

    def has_something(self, present: Present | None) -> bool:
        """Take how its task instance is now; tell, without reading anything, whether `take` may bring something."""
        self._present = present
        if self._over_since is None and self._is_over():
            self._over_since = time.monotonic()
        if self._over_since is not None:
            return True
        return self._has_begun() and self._pieces.has_more()

    def take(self) -> Piece:
        """Return the next piece, empty where nothing is there now; the one that ``is_last`` ends the log."""
        if self._over_since is None and self._is_over():
            self._over_since = time.monotonic()
        if not self._has_begun() and self._over_since is None:
            return Piece(b"", more=False)
        if not self._may_read():
            return Piece(b"", more=False, is_last=True)
        piece = self._pieces.next(is_here=self._is_here(), is_over=self._over_since is not None)
        if piece.content:
            self._last_came = time.monotonic()
            return piece
        if piece.more or not self._is_quiet():
            return piece
        rest = self._pieces.rest()
        return Piece(rest, more=False, is_last=True)

    def close(self) -> None:
        """Let go of what is open."""
        self._pieces.close()

    @classmethod
    def look(cls, sources: list[LogSource]) -> list[LogSource]:
        """Return those sources that may have something by now; one question for all of them."""
        found = present({source.key for source in sources})
        return [source for source in sources if source.has_something(found.get(source.key))]

    def _has_begun(self) -> bool:
        now = self._present
        if now is None or now.try_number < self._try_number:
            return self._id is not None
        if now.try_number == self._try_number and self._id is None:
            self._id = now.id
        return True

    def _may_read(self) -> bool:
        """Tell whether there was such a try: one that never began has no log."""
        now = self._present
        return self._id is not None or (now is not None and now.try_number >= self._try_number)

    def _is_over(self) -> bool:
        """Tell whether the try has ended, or will never begin; a task that is deferred goes on in the same try."""
        now = self._present
        if now is None or now.try_number > self._try_number:
            return True
        if now.try_number < self._try_number:
            return now.state in State.finished or now.run_state in _NEVER
        if self._id is not None and now.id != self._id:
            return True
        return now.state in _OVER

    def _is_here(self) -> bool:
        """Tell whether the try writes on this host, as far as anybody knows of it."""
        now = self._present
        if now is None or now.id != self._id:
            return True
        return now.hostname in ("", None, get_hostname()) and not (
            now.state == "deferred" and now.is_triggered
        )

    def _is_quiet(self) -> bool:
        """Tell whether a try that is over has written all; the process of one may live on for a while."""
        if self._over_since is None:
            return False
        now, clock = self._present, time.monotonic()
        end = now.end_date if now is not None and now.id == self._id else None
        if end is not None and (timezone.utcnow() - end).total_seconds() > _LONG_AGO_SECONDS:
            return True
        enough = QUIET_SECONDS if self._pieces.is_local else QUIET_ELSEWHERE_SECONDS
        if clock - max(self._over_since, self._last_came) < enough:
            return False
        is_late = clock - self._over_since > _OVERTIME_SECONDS
        return is_late or not (self._pieces.is_local and _lives(now, self._id))


def _lives(now: Present | None, id_: UUID | None) -> bool:
    return now is not None and now.id == id_ and now.pid is not None and psutil.pid_exists(now.pid)


def present(keys: Collection[Key]) -> dict[Key, Present]:
    """Return how these task instances are now, those that there are."""
    columns = (_TI.dag_id, _TI.run_id, _TI.task_id, _TI.map_index)
    with reading() as session:
        rows = session.execute(_STATEMENT.where(tuple_(*columns).in_(keys))).all()
    return {tuple(row[:4]): Present._make([*row[4:11], bool(row[11])]) for row in rows}
