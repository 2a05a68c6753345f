"""The rows behind an explanation: all task instances of a run, and those among them that wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE

# The states in which a task instance waits, the closest to running first.
WAITING = (
    "queued",
    "scheduled",
    "restarting",
    "awaiting_input",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    None,
)
_RANKS = {state: rank for rank, state in enumerate(WAITING)}
_TI = TASK_INSTANCE.c
_RUN = DagRun.__table__.c


class Waiting(NamedTuple):
    """A task instance, as far as an explanation needs to know."""

    task_id: str
    map_index: int
    state: str | None
    pool: str
    pool_slots: int
    executor: str | None
    queue: str
    queued_at: datetime | None
    scheduled_at: datetime | None
    updated_at: datetime | None
    trigger_id: int | None
    trigger_timeout: datetime | None
    id: UUID

    @property
    def since(self) -> datetime | None:
        """Since when it is in its state; nobody writes down when the scheduler was last content with nothing."""
        if self.state is None:
            return None
        known = {"queued": self.queued_at, "scheduled": self.scheduled_at}
        return known.get(self.state, self.updated_at)


class Held(NamedTuple):
    """A run, as far as an explanation needs to know."""

    number: int
    run_id: str
    state: str
    run_after: datetime
    backfill_id: int | None
    logical_date: datetime | None
    run_type: str


_COLUMNS = (
    _TI.task_id,
    _TI.map_index,
    _TI.state,
    _TI.pool,
    _TI.pool_slots,
    _TI.executor,
    _TI.queue,
    _TI.queued_dttm,
    _TI.scheduled_dttm,
    _TI.updated_at,
    _TI.trigger_id,
    _TI.trigger_timeout,
    _TI.id,
)


def run(session: Session, dag_id: str, dag_run_id: str) -> Held:
    """Return the run, which there has to be."""
    of_run = (_RUN.id, _RUN.run_id, _RUN.state, _RUN.run_after, _RUN.backfill_id)
    further = (_RUN.logical_date, _RUN.run_type)
    row = session.execute(
        select(*of_run, *further).where(_RUN.dag_id == dag_id, _RUN.run_id == dag_run_id)
    ).one()
    return Held._make(row)


def instances(session: Session, dag_id: str, dag_run_id: str) -> list[Waiting]:
    """Return all task instances of a run, in whatever state."""
    statement = select(*_COLUMNS).where(_TI.dag_id == dag_id, _TI.run_id == dag_run_id)
    return [Waiting._make(row) for row in session.execute(statement)]


def waiting(every: Iterable[Waiting], order: Mapping[str, Any]) -> list[Waiting]:
    """Return those that wait: by their states, then in the ``order`` of their tasks in the DAG."""
    last = len(order)
    found = [one for one in every if one.state in _RANKS]
    return sorted(
        found, key=lambda one: (_RANKS[one.state], order.get(one.task_id, last), one.task_id, one.map_index)
    )
