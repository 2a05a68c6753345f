"""Tries of task instances: the present one, and the earlier ones that Airflow keeps in its history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.state import TaskInstanceState
from sqlalchemy import LargeBinary, bindparam, func, literal_column, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, FromClause, Select

from airflow_rest_api.services import dag_version, errors
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE, Entry, executor_config

_HISTORY = TaskInstanceHistory.__table__
_DAG = DagModel.__table__
_FIELDS = {
    "task_id": "task_id",
    "dag_id": "dag_id",
    "dag_run_id": "run_id",
    "map_index": "map_index",
    "start_date": "start_date",
    "end_date": "end_date",
    "duration": "duration",
    "state": "state",
    "try_number": "try_number",
    "max_tries": "max_tries",
    "task_display_name": "task_display_name",
    "dag_display_name": "dag_display_name",
    "hostname": "hostname",
    "unixname": "unixname",
    "pool": "pool",
    "pool_slots": "pool_slots",
    "queue": "queue",
    "priority_weight": "priority_weight",
    "operator": "operator",
    "operator_name": "custom_operator_name",
    "queued_when": "queued_dttm",
    "scheduled_when": "scheduled_dttm",
    "pid": "pid",
    "executor": "executor",
    "executor_config": "executor_config",
    "dag_version": "dag_version_id",
}


def _tries(table: FromClause, operator_name: ColumnElement[Any], *, present: bool) -> Select[Any]:
    computed = {
        "task_display_name": func.coalesce(table.c.task_display_name, table.c.task_id),
        "dag_display_name": func.coalesce(_DAG.c.dag_display_name, table.c.dag_id),
        "executor_config": type_coerce(table.c.executor_config, LargeBinary()),
        "operator_name": operator_name,
    }
    columns = [
        (computed[field] if field in computed else table.c[name]).label(field)
        for field, name in _FIELDS.items()
    ]
    return (
        select(*columns, literal_column("1" if present else "0").label("present"))
        .select_from(table.outerjoin(_DAG, _DAG.c.dag_id == table.c.dag_id))
        .where(*(table.c[name] == bindparam(name) for name in ("dag_id", "run_id", "task_id", "map_index")))
    )


_PRESENT = _tries(
    TASK_INSTANCE,
    # An earlier try has no such fallback in `/api/v2`.
    func.coalesce(func.nullif(TASK_INSTANCE.c.custom_operator_name, ""), TASK_INSTANCE.c.operator),
    present=True,
)
_EARLIER = _tries(_HISTORY, _HISTORY.c.custom_operator_name, present=False)
# A try that is up for another one has gone into the history already.
_RECORDED = or_(
    TASK_INSTANCE.c.state != TaskInstanceState.UP_FOR_RETRY.value, TASK_INSTANCE.c.state.is_(None)
)
_ALL = union_all(_EARLIER, _PRESENT.where(_RECORDED)).order_by("present", "try_number")
_ONE = union_all(
    _EARLIER.where(_HISTORY.c.try_number == bindparam("try_number")),
    _PRESENT.where(TASK_INSTANCE.c.try_number == bindparam("try_number")),
).order_by(literal_column("present").desc())


class TryNotFound(errors.NotFound):
    """The task instance has no such try."""

    title = "Try not found"

    def __init__(self, task_id: str, map_index: int, try_number: int) -> None:
        index = "" if map_index == -1 else f" with map index {map_index}"
        super().__init__(
            f"No try {try_number} of the task '{task_id}'{index} is known for this run.",
            task_id=task_id,
            map_index=map_index,
            try_number=try_number,
        )


def get_task_instance_tries(dag_id: str, dag_run_id: str, task_id: str, map_index: int = -1) -> Entry:
    """List all tries of a task instance, the earlier ones first; raises `TaskInstanceNotFound`."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    with reading() as session:
        tries = _entries(session, session.execute(_ALL, key).all())
    if not tries:
        raise errors.TaskInstanceNotFound(dag_id, dag_run_id, task_id, map_index)
    return {"task_instances": tries, "total_entries": len(tries)}


def get_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, task_try_number: int, map_index: int = -1
) -> Entry:
    """Return one try of a task instance; raises `TryNotFound`."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    with reading() as session:
        rows = session.execute(_ONE, {**key, "try_number": task_try_number}).all()
        tries = _entries(session, rows[:1])
    if not tries:
        raise TryNotFound(task_id, map_index, task_try_number)
    return tries[0]


def _entries(session: Session, rows: Sequence[Sequence[Any]]) -> list[Entry]:
    entries = [dict(zip(_FIELDS, row, strict=False)) for row in rows]
    versions = dag_version.by_ids(session, {entry["dag_version"] for entry in entries})
    for entry in entries:
        entry["executor_config"] = executor_config(entry["executor_config"])
        entry["dag_version"] = versions.get(entry["dag_version"])
    return entries
