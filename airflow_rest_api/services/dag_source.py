"""DAG source: the file of a DAG as it was when Airflow parsed it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagcode import DagCode
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.states import Stated

_DAG = DagModel.__table__
_VERSION = DagVersion.__table__
_CODE = DagCode.__table__
_SOURCES = (
    select(
        _VERSION.c.version_number,
        _CODE.c.source_code,
        _DAG.c.dag_display_name,
        _DAG.c.relative_fileloc,
        _DAG.c.bundle_name,
    )
    .select_from(
        _VERSION.join(_DAG, _DAG.c.dag_id == _VERSION.c.dag_id).outerjoin(
            _CODE, _CODE.c.dag_version_id == _VERSION.c.id
        )
    )
    .where(_VERSION.c.dag_id == bindparam("dag_id"))
)
_LATEST = _SOURCES.order_by(_VERSION.c.version_number.desc()).limit(1)
_OF_VERSION = _SOURCES.where(_VERSION.c.version_number == bindparam("number"))
_IN_FILE = select(_DAG.c.dag_id).where(
    _DAG.c.relative_fileloc == bindparam("path"), _DAG.c.bundle_name == bindparam("bundle_name")
)

# Airflow's own words: a client may compare them.
REDACTED = "REDACTED - you do not have read permission on all Dags in the file"


class DagSourceNotFound(errors.NotFound):
    """Airflow has no source of this version of the DAG."""

    title = "DAG source not found"

    def __init__(self, dag_id: str, version_number: int | None) -> None:
        version = f"version {version_number} of " if version_number else ""
        super().__init__(f"There is no source of {version}the DAG '{dag_id}'.", dag_id=dag_id)


def get_dag_source(dag_id: str, *, version_number: int | None, caller: Caller) -> Stated:
    """Return the source of a version, the latest one by default; raises `DagSourceNotFound`.

    Where the file holds a DAG that the caller may not read, the source is withheld. The state is the file's, to
    which a deployment can be bound.
    """
    with reading() as session:
        found = _found(session, dag_id, version_number)
        if found is None or found.source_code is None:
            raise DagSourceNotFound(dag_id, version_number)
        in_file = _dags_in_file(session, found.relative_fileloc, found.bundle_name)
    readable = all(caller.permissions.may_dag(neighbour, "GET") for neighbour in in_file)
    answer = {
        "content": found.source_code if readable else REDACTED,
        "dag_id": dag_id,
        "version_number": found.version_number,
        "dag_display_name": found.dag_display_name or dag_id,
    }
    return Stated(answer, state(found.bundle_name, found.relative_fileloc, found.source_code))


def state(bundle_name: str, path: str | None, source: str) -> tuple[Any, ...]:
    """Return the columns that make the state of a file."""
    return bundle_name, path, hashlib.sha256(source.encode()).hexdigest()


def as_read(data: bytes) -> str:
    """Return the content of a file as Airflow reads it into the source of a DAG: as text, whatever ends its lines."""
    return data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _found(session: Session, dag_id: str, version_number: int | None) -> Any:
    # A version number of 0 names none, as in Airflow.
    if version_number:
        return session.execute(_OF_VERSION, {"dag_id": dag_id, "number": version_number}).one_or_none()
    return session.execute(_LATEST, {"dag_id": dag_id}).one_or_none()


def _dags_in_file(session: Session, path: str | None, bundle_name: str) -> Sequence[str]:
    if not path:
        return ()
    return session.scalars(_IN_FILE, {"path": path, "bundle_name": bundle_name}).all()
