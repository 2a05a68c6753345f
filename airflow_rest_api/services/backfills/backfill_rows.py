"""Backfill rows: which columns an answer about backfills needs, and the shape of one entry.

A list costs one statement for the rows and one for the progress of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from airflow_rest_api.services import stored_json
from airflow_rest_api.services.backfills import backfill_progress
from airflow_rest_api.services.backfills.backfill_progress import Progress
from airflow_rest_api.services.backfills.backfill_refusals import BackfillNotFound

Entry = dict[str, Any]

BACKFILL = Backfill.__table__
_DAG = DagModel.__table__

_FIELDS = (
    "id",
    "dag_id",
    "from_date",
    "to_date",
    "dag_run_conf",
    "is_paused",
    "reprocess_behavior",
    "max_active_runs",
    "created_at",
    "completed_at",
    "updated_at",
)
STATEMENT: Select[Any] = select(
    *(BACKFILL.c[name] for name in _FIELDS if name != "dag_run_conf"),
    stored_json.column(BACKFILL.c.dag_run_conf),
    _DAG.c.dag_display_name.label("dag_display_name"),
    _DAG.c.is_paused.label("dag_is_paused"),
).select_from(BACKFILL.outerjoin(_DAG, _DAG.c.dag_id == BACKFILL.c.dag_id))


def one(session: Session, backfill_id: int) -> Entry:
    """Return the entry of a backfill; raises `BackfillNotFound`."""
    found = session.execute(STATEMENT.where(BACKFILL.c.id == backfill_id)).all()
    if not found:
        raise BackfillNotFound(backfill_id)
    return entries(session, found)[0]


def running(session: Session, dag_id: str) -> int | None:
    """Return the number of the DAG's backfill that is not completed, if there is one."""
    statement = select(BACKFILL.c.id).where(BACKFILL.c.dag_id == dag_id, BACKFILL.c.completed_at.is_(None))
    return session.scalar(statement.limit(1))


def entries(session: Session, rows: Sequence[Any]) -> list[Entry]:
    """Shape rows of `STATEMENT` as `/api/v2` answers backfills, with their progress."""
    progress = backfill_progress.of(session, [row.id for row in rows])
    return [_entry(row, progress[row.id]) for row in rows]


def _entry(row: Any, progress: Progress) -> Entry:
    goes_on = row.completed_at is None and not row.is_paused and row.dag_is_paused is False
    return {
        **{name: getattr(row, name) for name in _FIELDS},
        "is_paused": bool(row.is_paused),
        "dag_display_name": row.dag_display_name or row.dag_id,
        "progress": progress.entry(
            estimated_end=progress.estimated_end(row.max_active_runs) if goes_on else None
        ),
    }
