"""Task instance rows: which columns an answer about task instances needs, and the shape of one entry.

Plain columns of tables, no entities: a list costs one statement for the rows, one for the DAG versions that
they name, and one more only when a task of the list waits for a trigger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from airflow.jobs.job import Job
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance, TaskInstanceNote
from airflow.models.trigger import Trigger
from sqlalchemy import LargeBinary, and_, bindparam, func, select, type_coerce
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, FromClause, Select

from airflow_rest_api.services import dag_version, stored_json

Entry = dict[str, Any]
Value = TypeVar("Value")
_Deferral = tuple[Entry, Entry | None]

TASK_INSTANCE = TaskInstance.__table__
RUN = DagRun.__table__
_DAG = DagModel.__table__
_NOTE = TaskInstanceNote.__table__
_RENDERED = RenderedTaskInstanceFields.__table__
_TRIGGER = Trigger.__table__
_JOB = Job.__table__

SAME_RUN = and_(RUN.c.dag_id == TASK_INSTANCE.c.dag_id, RUN.c.run_id == TASK_INSTANCE.c.run_id)
SAME_KEY = tuple(
    _RENDERED.c[name] == TASK_INSTANCE.c[name] for name in ("dag_id", "task_id", "run_id", "map_index")
)

# What belongs to a task instance is looked up row by row: PostgreSQL would take longer to plan seven joins
# (2.7 ms) than it takes to answer from the indexes (0.4 ms, for planning and a page of a run).
_COLUMNS: tuple[ColumnElement[Any], ...] = (
    TASK_INSTANCE.c.id,
    TASK_INSTANCE.c.task_id,
    TASK_INSTANCE.c.dag_id,
    TASK_INSTANCE.c.run_id,
    TASK_INSTANCE.c.map_index,
    RUN.c.logical_date,
    RUN.c.run_after,
    TASK_INSTANCE.c.start_date,
    TASK_INSTANCE.c.end_date,
    TASK_INSTANCE.c.duration,
    TASK_INSTANCE.c.state,
    TASK_INSTANCE.c.try_number,
    TASK_INSTANCE.c.max_tries,
    TASK_INSTANCE.c.task_display_name,
    select(_DAG.c.dag_display_name).where(_DAG.c.dag_id == TASK_INSTANCE.c.dag_id).scalar_subquery(),
    TASK_INSTANCE.c.hostname,
    TASK_INSTANCE.c.unixname,
    TASK_INSTANCE.c.pool,
    TASK_INSTANCE.c.pool_slots,
    TASK_INSTANCE.c.queue,
    TASK_INSTANCE.c.priority_weight,
    TASK_INSTANCE.c.operator,
    TASK_INSTANCE.c.custom_operator_name,
    TASK_INSTANCE.c.queued_dttm,
    TASK_INSTANCE.c.scheduled_dttm,
    TASK_INSTANCE.c.pid,
    TASK_INSTANCE.c.executor,
    type_coerce(TASK_INSTANCE.c.executor_config, LargeBinary()).label("executor_config"),
    select(_NOTE.c.content).where(_NOTE.c.ti_id == TASK_INSTANCE.c.id).scalar_subquery(),
    TASK_INSTANCE.c.rendered_map_index,
    select(stored_json.column(_RENDERED.c.rendered_fields)).where(*SAME_KEY).scalar_subquery(),
    TASK_INSTANCE.c.trigger_id,
    TASK_INSTANCE.c.dag_version_id,
)
WIDTH = len(_COLUMNS)
# SQLite takes no more than 32,766 values in a statement.
_CHUNK = 5000


# Made once, because making a statement of so many columns takes as long as running it.
_WHOLE = select(*_COLUMNS)
_ONE = _WHOLE.select_from(TASK_INSTANCE.join(RUN, SAME_RUN)).where(
    *(TASK_INSTANCE.c[name] == bindparam(name) for name in ("dag_id", "run_id", "task_id", "map_index"))
)


def statement(*further: ColumnElement[Any], source: FromClause = TASK_INSTANCE) -> Select[Any]:
    """Select whole task instances, and ``further`` columns after the first ``WIDTH``, from a ``source`` of them."""
    return _WHOLE.add_columns(*further).select_from(source.join(RUN, SAME_RUN))


def one(session: Session, dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Entry | None:
    """Return the entry of one task instance, if there is such a one."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    found = entries(session, session.execute(_ONE, key).all())
    return found[0] if found else None


def by_ids(session: Session, ids: Sequence[UUID]) -> list[Entry]:
    """Return the entries of these task instances in the order of ``ids``; an id without a row is left out."""
    rows: list[Sequence[Any]] = []
    for chunk in chunks(ids):
        rows += session.execute(statement().where(TASK_INSTANCE.c.id.in_(chunk))).all()
    found = {entry["id"]: entry for entry in entries(session, rows)}
    return [found[id_] for id_ in ids if id_ in found]


def collection(session: Session, ids: Sequence[UUID]) -> Entry:
    """Return a list of these task instances in the order of ``ids``, whole and without pages."""
    found = by_ids(session, ids)
    whole = {"total_entries_limit": None, "next_cursor": None, "previous_cursor": None}
    return {"task_instances": found, "total_entries": len(found), **whole}


def chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield the values in portions that fit into one statement."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def entries(session: Session, rows: Sequence[Sequence[Any]]) -> list[Entry]:
    """Shape rows of `statement`, whatever further columns they have, as `/api/v2` answers task instances."""
    versions = dag_version.by_ids(session, {row[WIDTH - 1] for row in rows})
    triggers = _triggers(session, {row[WIDTH - 2] for row in rows})
    return [_entry(row, versions, triggers) for row in rows]


def _entry(row: Sequence[Any], versions: dict[Any, Entry], triggers: dict[Any, _Deferral]) -> Entry:
    trigger, job = triggers.get(row[31], (None, None))
    return {
        "id": row[0],
        "task_id": row[1],
        "dag_id": row[2],
        "dag_run_id": row[3],
        "map_index": row[4],
        "logical_date": row[5],
        "run_after": row[6],
        "start_date": row[7],
        "end_date": row[8],
        "duration": row[9],
        "state": row[10],
        "try_number": row[11],
        "max_tries": row[12],
        "task_display_name": row[13] or row[1],
        "dag_display_name": row[14] or row[2],
        "hostname": row[15],
        "unixname": row[16],
        "pool": row[17],
        "pool_slots": row[18],
        "queue": row[19],
        "priority_weight": row[20],
        "operator": row[21],
        "operator_name": row[22] or row[21],
        "queued_when": row[23],
        "scheduled_when": row[24],
        "pid": row[25],
        "executor": row[26],
        "executor_config": executor_config(row[27]),
        "note": row[28],
        "rendered_map_index": _map_label(row[29], row[4]),
        "rendered_fields": row[30] or {},
        "trigger": trigger,
        "triggerer_job": job,
        "dag_version": versions.get(row[32]),
    }


def _map_label(rendered: str | None, map_index: int) -> str | None:
    if rendered is not None:
        return rendered
    return str(map_index) if map_index >= 0 else None


@lru_cache(maxsize=1024)
def executor_config(stored: bytes | None) -> str:
    """Return an executor configuration as text, as Airflow's type for it reads the ``stored`` bytes.

    Nearly all task instances store the same empty one: each different value is read once.
    """
    read = _executor_config_reader()
    return str(read(stored) if read else stored)


@lru_cache(maxsize=1)
def _executor_config_reader() -> Any:
    # The bytes are a pickle on every database.
    return TASK_INSTANCE.c.executor_config.type.result_processor(sqlite.dialect(), None)


def _triggers(session: Session, ids: Iterable[int | None]) -> dict[int, _Deferral]:
    """Return, for each trigger with one of these ids, the trigger and the job that runs it."""
    wanted = [id_ for id_ in ids if id_ is not None]
    if not wanted:
        return {}
    rows = session.execute(
        select(
            _TRIGGER.c.id,
            _TRIGGER.c.classpath,
            _TRIGGER.c.created_date,
            _TRIGGER.c.queue,
            _TRIGGER.c.triggerer_id,
            *_JOB.c,
            func.coalesce(_DAG.c.dag_display_name, _DAG.c.dag_id),
        )
        .select_from(
            _TRIGGER.outerjoin(_JOB, _JOB.c.id == _TRIGGER.c.triggerer_id).outerjoin(
                _DAG, _DAG.c.dag_id == _JOB.c.dag_id
            )
        )
        .where(_TRIGGER.c.id.in_(wanted))
    )
    return {row[0]: (_trigger(row), _job(row[5:])) for row in rows}


def _trigger(row: Sequence[Any]) -> Entry:
    # The arguments of a trigger may hold secrets; `/api/v2` answers an empty object, too.
    return {
        "id": row[0],
        "classpath": row[1],
        "kwargs": "{}",
        "created_date": row[2],
        "queue": row[3],
        "triggerer_id": row[4],
    }


def _job(row: Sequence[Any]) -> Entry | None:
    *values, display_name = row
    job = dict(zip(_JOB.c.keys(), values, strict=True))
    if job["id"] is None:
        return None
    return {**job, "dag_display_name": display_name}
