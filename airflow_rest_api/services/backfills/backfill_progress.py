"""Backfill progress: how far the runs of backfills have come, and when they could be through.

One statement counts for all backfills of an answer. It counts what is in `backfill_dag_run`: what the backfill has
made, taken over, or left out, with the state that the runs have now, whoever changed it since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.backfill import BackfillDagRun
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_rest_api.services.runs import dag_run_filters
from airflow_rest_api.services.runs.dag_run_rows import RUN

_MEMBER = BackfillDagRun.__table__.c
_ENDED = ("success", "failed")
# Nobody waits longer, and dates end somewhere.
_LONGEST = timedelta(days=36_500).total_seconds()


@dataclass
class Progress:
    """How many runs of a backfill are in each state, how many were left out and why, how long ended ones took."""

    states: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    deleted: int = 0
    seconds: float = 0.0
    measured: int = 0

    @property
    def left(self) -> int:
        """How many runs have not ended."""
        return self.states.get("queued", 0) + self.states.get("running", 0)

    def entry(self, *, estimated_end: datetime | None) -> dict[str, Any]:
        """Return the progress as answers have it."""
        skipped = sum(self.skipped.values())
        return {
            "total": sum(self.states.values()) + skipped + self.deleted,
            **{state: self.states.get(state, 0) for state in ("queued", "running", "success", "failed")},
            "skipped": skipped,
            "skipped_reasons": dict(sorted(self.skipped.items())),
            "deleted": self.deleted,
            "left": self.left,
            "estimated_end": estimated_end,
        }

    def estimated_end(self, at_once: int) -> datetime | None:
        """Return when the runs that are left have ended, if each takes as long as the ended ones did on average.

        They go in rounds of ``at_once`` runs. None where none is left, none has ended, or none may run.
        """
        if not self.left or not self.measured or at_once < 1:
            return None
        seconds = ceil(self.left / at_once) * self.seconds / self.measured
        if not 0 <= seconds < _LONGEST:
            return None
        return timezone.utcnow() + timedelta(seconds=seconds)


def of(session: Session, backfill_ids: Sequence[int]) -> dict[int, Progress]:
    """Return the progress of each of these backfills."""
    found = {number: Progress() for number in backfill_ids}
    for row in _counted(session, backfill_ids) if found else ():
        _add(found[row.backfill_id], row)
    return found


def _counted(session: Session, backfill_ids: Sequence[int]) -> Iterable[Any]:
    duration = dag_run_filters.duration(session.get_bind().dialect.name)
    group = (_MEMBER.backfill_id, _MEMBER.exception_reason, RUN.c.state)
    counts = (
        func.count().label("runs"),
        func.sum(duration).label("seconds"),
        func.count(duration).label("measured"),
    )
    members = BackfillDagRun.__table__.outerjoin(RUN, RUN.c.id == _MEMBER.dag_run_id)
    statement = select(*group, *counts).select_from(members).where(_MEMBER.backfill_id.in_(backfill_ids))
    return session.execute(statement.group_by(*group)).all()


def _add(progress: Progress, row: Any) -> None:
    if row.exception_reason is not None:
        progress.skipped[row.exception_reason] = progress.skipped.get(row.exception_reason, 0) + row.runs
    elif row.state is None:
        progress.deleted += row.runs
    else:
        progress.states[row.state] = row.runs
        if row.state in _ENDED:
            progress.seconds += row.seconds or 0.0
            progress.measured += row.measured
