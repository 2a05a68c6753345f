"""Backfill outcome: whether a backfill has come to its end, and what failed in its runs."""

from __future__ import annotations

from typing import Any

from airflow.models.backfill import BackfillDagRun
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import case, exists, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.backfills import backfill_rows
from airflow_rest_api.services.backfills.backfill_rows import BACKFILL, Entry
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.task_instances.task_instance_rows import RUN, SAME_RUN, TASK_INSTANCE

RUNNING, ENDED, COMPLETED = "running", "ended", "completed"
# How many failed task instances are told.
MOST = 100
_MEMBER = BackfillDagRun.__table__.c
_FAILED = (TaskInstanceState.FAILED.value, TaskInstanceState.UPSTREAM_FAILED.value)
_UNFINISHED = (DagRunState.QUEUED.value, DagRunState.RUNNING.value)


def state_now() -> Any:
    """Return the expression for a backfill's state: its runs go on, have ended, or have made room for another one.

    The scheduler takes up to half a minute to notice that all runs have ended, and until then the DAG can have no
    other backfill.
    """
    unfinished = exists(select(RUN.c.id).where(_made_by(BACKFILL.c.id), RUN.c.state.in_(_UNFINISHED)))
    return case((unfinished, RUNNING), (BACKFILL.c.completed_at.is_(None), ENDED), else_=COMPLETED)


def outcome(backfill_id: int) -> Entry:
    """Return a backfill with `failed`, the task instances of its runs that failed; raises `BackfillNotFound`."""
    with reading() as session:
        return {**backfill_rows.one(session, backfill_id), "failed": _failed(session, backfill_id)}


def _made_by(backfill_id: Any) -> ColumnElement[bool]:
    """Return the condition of runs that a backfill made or ran again; others it left out as they were."""
    members = select(_MEMBER.dag_run_id).where(
        _MEMBER.backfill_id == backfill_id, _MEMBER.exception_reason.is_(None)
    )
    is_made: ColumnElement[bool] = RUN.c.id.in_(members)
    return is_made


def _failed(session: Session, backfill_id: int) -> list[Entry]:
    statement = (
        select(TASK_INSTANCE.c.task_id, TASK_INSTANCE.c.state, RUN.c.run_id, RUN.c.logical_date)
        .select_from(TASK_INSTANCE.join(RUN, SAME_RUN))
        .where(_made_by(backfill_id), TASK_INSTANCE.c.state.in_(_FAILED))
        .order_by(RUN.c.run_after, TASK_INSTANCE.c.task_id, TASK_INSTANCE.c.map_index)
    )
    return [dict(row._mapping) for row in session.execute(statement.limit(MOST))]
