"""Watching: which of many objects have come to an end, asked for all of a kind in one query."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select, tuple_

from airflow_rest_api.services import operation
from airflow_rest_api.services.backfills import backfill_outcome
from airflow_rest_api.services.backfills.backfill_rows import BACKFILL
from airflow_rest_api.services.database import reading
from airflow_rest_api.storage import tables

Key = tuple[Any, ...]

_RUN = DagRun.__table__.c
_TASK = TaskInstance.__table__.c
# The columns that name an object of each kind, in the order of a key, and what tells its state.
_COLUMNS: dict[str, tuple[tuple[Any, ...], Callable[[], Any]]] = {
    "dag_run": ((_RUN.dag_id, _RUN.run_id), lambda: _RUN.state),
    "task_instance": ((_TASK.dag_id, _TASK.run_id, _TASK.task_id, _TASK.map_index), lambda: _TASK.state),
    "deployment": ((tables.deployment.c.id,), lambda: tables.deployment.c.state),
    "operation": ((tables.operation.c.id,), operation.state_now),
    "backfill": ((BACKFILL.c.id,), backfill_outcome.state_now),
}
KINDS = frozenset(_COLUMNS)


def finished(kind: str, keys: Collection[Key], terminal: Collection[str]) -> set[Key]:
    """Return those of the objects that are in one of the ``terminal`` states, or are there no more."""
    columns, state_now = _COLUMNS[kind]
    state = state_now()
    unfinished = state.is_(None) | state.not_in(terminal)
    with reading() as session:
        rows = session.execute(select(*columns).where(tuple_(*columns).in_(keys), unfinished))
        return set(keys) - {tuple(row) for row in rows}
