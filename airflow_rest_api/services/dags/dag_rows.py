"""DAG rows: which columns an answer about DAGs needs, and the shape of one entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from airflow.configuration import conf
from airflow.models.dag import DagModel, DagTag
from airflow.utils.types import DagRunType
from itsdangerous import URLSafeSerializer
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, Select

from airflow_rest_api.services import stored_json

Entry = dict[str, Any]

_DAG = DagModel.__table__
_TAG = DagTag.__table__

_COLUMNS: tuple[ColumnElement[Any], ...] = (
    _DAG.c.dag_id,
    _DAG.c.dag_display_name,
    _DAG.c.is_paused,
    _DAG.c.is_stale,
    _DAG.c.last_parsed_time,
    _DAG.c.last_parse_duration,
    _DAG.c.last_expired,
    _DAG.c.bundle_name,
    _DAG.c.bundle_version,
    _DAG.c.relative_fileloc,
    _DAG.c.fileloc,
    _DAG.c.description,
    _DAG.c.timetable_summary,
    _DAG.c.timetable_description,
    _DAG.c.timetable_partitioned,
    _DAG.c.timetable_periodic,
    _DAG.c.max_active_tasks,
    _DAG.c.max_active_runs,
    _DAG.c.max_consecutive_failed_dag_runs,
    _DAG.c.has_task_concurrency_limits,
    _DAG.c.has_import_errors,
    _DAG.c.next_dagrun,
    _DAG.c.next_dagrun_data_interval_start,
    _DAG.c.next_dagrun_data_interval_end,
    _DAG.c.next_dagrun_create_after,
    stored_json.column(_DAG.c.allowed_run_types),
    _DAG.c.owners,
)
WIDTH = len(_COLUMNS)
_STATEMENT = select(*_COLUMNS)
# An expanding parameter: a list of ids would be taken apart into parameters at each call.
_TAGS = select(_TAG.c.dag_id, _TAG.c.name).where(_TAG.c.dag_id.in_(bindparam("dag_ids", expanding=True)))


def statement(*further: ColumnElement[Any]) -> Select[Any]:
    """Select the columns of DAGs, and ``further`` ones after the first ``WIDTH``."""
    return _STATEMENT.add_columns(*further) if further else _STATEMENT


def entries(session: Session, rows: Sequence[Sequence[Any]]) -> list[Entry]:
    """Shape rows of `statement`, whatever further columns they have, as `/api/v2` answers DAGs."""
    tags = _tag_names(session, [row[0] for row in rows])
    return [_entry(row, tags.get(row[0], ())) for row in rows]


def _tag_names(session: Session, dag_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
    names: dict[str, list[str]] = {}
    if dag_ids:
        for dag_id, name in session.execute(_TAGS, {"dag_ids": dag_ids}):
            names.setdefault(dag_id, []).append(name)
    return names


def _entry(row: Sequence[Any], tags: Sequence[str]) -> Entry:
    dag_id, name = row[0], row[1] or row[0]
    periodic, run_types = row[15], row[25]
    return {
        "dag_id": dag_id,
        "dag_display_name": name,
        "is_paused": row[2],
        "is_stale": row[3],
        "last_parsed_time": row[4],
        "last_parse_duration": row[5],
        "last_expired": row[6],
        "bundle_name": row[7],
        "bundle_version": row[8],
        "relative_fileloc": row[9],
        # `/api/v2` never has null here, and its clients reject it.
        "fileloc": row[10] or "",
        "description": row[11],
        "timetable_summary": None if row[12] == "None" else row[12],
        "timetable_description": row[13],
        "timetable_partitioned": row[14],
        "timetable_periodic": periodic,
        # In the order of code points, which a database's collation need not keep.
        "tags": [{"name": tag, "dag_id": dag_id, "dag_display_name": name} for tag in sorted(tags)],
        "max_active_tasks": row[16],
        "max_active_runs": row[17],
        "max_consecutive_failed_dag_runs": row[18],
        "has_task_concurrency_limits": row[19],
        "has_import_errors": bool(row[20]),
        "next_dagrun_logical_date": row[21],
        "next_dagrun_data_interval_start": row[22],
        "next_dagrun_data_interval_end": row[23],
        "next_dagrun_run_after": row[24],
        "allowed_run_types": run_types,
        "owners": [] if row[26] is None else [owner.strip() for owner in row[26].split(",")],
        "is_backfillable": periodic and _allows_backfills(run_types),
        "file_token": _file_token(row[7], row[9]),
    }


def _allows_backfills(run_types: Any) -> bool:
    if run_types is None:
        return True
    return isinstance(run_types, list) and DagRunType.BACKFILL_JOB.value in run_types


@lru_cache(maxsize=20_000)
def _file_token(bundle_name: str | None, relative_fileloc: str | None) -> str:
    """Name a DAG file in the way that Airflow's `reparse_dag_file` accepts: signed, and always the same."""
    payload = {"bundle_name": bundle_name, "relative_fileloc": relative_fileloc}
    return str(_token_serializer().dumps(payload))


@cache
def _token_serializer() -> URLSafeSerializer:
    return URLSafeSerializer(conf.get_mandatory_value("api", "secret_key"))
