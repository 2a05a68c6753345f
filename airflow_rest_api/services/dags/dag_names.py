"""DAG names: all DAGs that a caller may read, without pages, and the files that they come from."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow.models.dag import DagModel
from sqlalchemy import select

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_filters
from airflow_rest_api.services.database import reading

_DAG = DagModel.__table__
_PRESENT = {"exclude_stale": True}


class DagFile(NamedTuple):
    """A file of a bundle, how many seconds Airflow last took to parse it, and the DAGs in it."""

    bundle: str
    path: str
    seconds: float
    dag_ids: list[str]


def readable(caller: Caller) -> list[str]:
    """Return the ids of the DAGs that the caller may read and that Airflow still finds, in the order of code points."""
    with reading() as session:
        return sorted(session.scalars(_narrowed(select(_DAG.c.dag_id), caller)))


def files(caller: Caller) -> list[DagFile]:
    """Return the files of these DAGs, the one that takes longest first."""
    columns = (_DAG.c.bundle_name, _DAG.c.relative_fileloc, _DAG.c.last_parse_duration, _DAG.c.dag_id)
    with reading() as session:
        rows = session.execute(_narrowed(select(*columns), caller)).all()
    found: dict[tuple[str, str], DagFile] = {}
    for bundle, path, seconds, dag_id in sorted(rows, key=lambda row: str(row.dag_id)):
        key = (bundle or "", path or "")
        file = found.setdefault(key, DagFile(*key, seconds or 0.0, []))
        file.dag_ids.append(dag_id)
    return sorted(found.values(), key=lambda file: (-file.seconds, file.bundle, file.path))


def _narrowed(statement: Any, caller: Caller) -> Any:
    scope = caller.permissions.dag_scope("GET")
    return statement.where(*dag_filters.listed(_PRESENT, scope, caller.id))
