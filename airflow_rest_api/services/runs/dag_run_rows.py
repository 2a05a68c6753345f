"""DAG run rows: which columns an answer about runs needs, and the shape of one entry.

Plain columns of tables, no entities: a list costs one statement for the rows, one for which versions of
their DAGs they ran with, and one for these versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from sqlalchemy import and_, bindparam, select, union
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, Select

from airflow_rest_api.services import dag_version, errors, stored_json

Entry = dict[str, Any]

RUN = DagRun.__table__
_DAG = DagModel.__table__
_NOTE = DagRunNote.__table__

_COLUMNS: tuple[ColumnElement[Any], ...] = (
    RUN.c.run_id,
    RUN.c.dag_id,
    RUN.c.logical_date,
    RUN.c.queued_at,
    RUN.c.start_date,
    RUN.c.end_date,
    RUN.c.data_interval_start,
    RUN.c.data_interval_end,
    RUN.c.run_after,
    RUN.c.last_scheduling_decision,
    RUN.c.run_type,
    RUN.c.state,
    RUN.c.triggered_by,
    RUN.c.triggering_user_name,
    stored_json.column(RUN.c.conf),
    _NOTE.c.content,
    RUN.c.bundle_version,
    _DAG.c.dag_display_name.label("dag_display_name"),
    RUN.c.partition_key,
    RUN.c.partition_date,
    RUN.c.id,
    RUN.c.created_dag_version_id,
    RUN.c.updated_at,
)
_POSITIONS = {column.key: position for position, column in enumerate(_COLUMNS)}
_ID, _BUNDLE_VERSION, _CREATED_VERSION = (
    _POSITIONS[name] for name in ("id", "bundle_version", "created_dag_version_id")
)

STATEMENT: Select[Any] = select(*_COLUMNS).select_from(
    RUN.outerjoin(_DAG, _DAG.c.dag_id == RUN.c.dag_id).outerjoin(_NOTE, _NOTE.c.dag_run_id == RUN.c.id)
)


def one(session: Session, dag_id: str, dag_run_id: str) -> Entry:
    """Return the entry of a run; raises `DagRunNotFound`."""
    found = session.execute(STATEMENT.where(RUN.c.dag_id == dag_id, RUN.c.run_id == dag_run_id)).all()
    if not found:
        raise errors.DagRunNotFound(dag_id, dag_run_id)
    return entries(session, found)[0]


def by_ids(session: Session, ids: Sequence[int]) -> list[Entry]:
    """Return the entries of the runs with these numbers, in the order of ``ids``."""
    rows = session.execute(STATEMENT.where(RUN.c.id.in_(ids))).all() if ids else []
    found = {row[_ID]: entry for row, entry in zip(rows, entries(session, rows), strict=True)}
    return [found[id_] for id_ in ids if id_ in found]


def entries(session: Session, rows: Sequence[Sequence[Any]]) -> list[Entry]:
    """Shape rows of `STATEMENT` as `/api/v2` answers runs."""
    version_ids = _version_ids(session, rows)
    known = dag_version.by_ids(session, set().union(*version_ids.values()))
    return [_entry(row, [known[id_] for id_ in version_ids[row[_ID]] if id_ in known]) for row in rows]


def sort_value(row: Sequence[Any], name: str) -> Any:
    """Return what a row of `STATEMENT` has of the attribute that a list may be ordered by."""
    if name == "duration":
        return _duration(row[4], row[5])
    return row[_POSITIONS["run_id" if name == "dag_run_id" else name]]


def _entry(row: Sequence[Any], versions: list[Entry]) -> Entry:
    triggered_by = row[12]
    return {
        "dag_run_id": row[0],
        "dag_id": row[1],
        "logical_date": row[2],
        "queued_at": row[3],
        "start_date": row[4],
        "end_date": row[5],
        "duration": _duration(row[4], row[5]),
        "data_interval_start": row[6],
        "data_interval_end": row[7],
        "run_after": row[8],
        "last_scheduling_decision": row[9],
        "run_type": row[10],
        "state": row[11],
        "triggered_by": None if triggered_by is None else triggered_by.value,
        "triggering_user_name": row[13],
        "conf": row[14],
        "note": row[15],
        "dag_versions": versions,
        "bundle_version": row[16],
        "dag_display_name": row[17] or row[1],
        "partition_key": row[18],
        "partition_date": row[19],
    }


def _duration(start: Any, end: Any) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _ran_with(table: Any) -> Select[Any]:
    same_run = and_(table.c.dag_id == RUN.c.dag_id, table.c.run_id == RUN.c.run_id)
    return (
        select(RUN.c.id, table.c.dag_version_id)
        .join_from(RUN, table, same_run)
        .where(RUN.c.id.in_(bindparam("ids", expanding=True)), table.c.dag_version_id.is_not(None))
    )


_VERSIONS_RAN_WITH = union(_ran_with(TaskInstance.__table__), _ran_with(TaskInstanceHistory.__table__))


def _version_ids(session: Session, rows: Iterable[Sequence[Any]]) -> dict[int, list[UUID]]:
    """Return the ids of the versions of each run by the run's number.

    A run of a bundle with versions keeps to the one that it was made with; any other has those that its
    task instances ran with, former tries included, in the order of their ids.
    """
    found: dict[int, list[UUID]] = {}
    unversioned: list[int] = []
    for row in rows:
        created = row[_CREATED_VERSION]
        found[row[_ID]] = [created] if row[_BUNDLE_VERSION] and created else []
        if not row[_BUNDLE_VERSION]:
            unversioned.append(row[_ID])
    if unversioned:
        for run, version in session.execute(_VERSIONS_RAN_WITH, {"ids": unversioned}).all():
            found[run].append(version)
    return {run: sorted(versions) for run, versions in found.items()}
