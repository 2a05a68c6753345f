"""DAG versions: the states of a DAG that Airflow keeps apart, because tasks ran with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from sqlalchemy import bindparam, false, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing, ordering

Entry = dict[str, Any]

_VERSION = DagVersion.__table__
_DAG = DagModel.__table__
_BUNDLE = DagBundleModel.__table__

_STATEMENT = select(
    _VERSION.c.id,
    _VERSION.c.version_number,
    _VERSION.c.dag_id,
    _VERSION.c.bundle_name,
    _VERSION.c.bundle_version,
    _VERSION.c.created_at,
    _DAG.c.dag_display_name,
    _BUNDLE.c.signed_url_template.is_not(None),
).select_from(
    _VERSION.join(_DAG, _DAG.c.dag_id == _VERSION.c.dag_id).outerjoin(
        _BUNDLE, _BUNDLE.c.name == _VERSION.c.bundle_name
    )
)
_BY_IDS = _STATEMENT.where(_VERSION.c.id.in_(bindparam("ids", expanding=True)))
_LATEST = (
    _STATEMENT.where(_VERSION.c.dag_id == bindparam("dag_id"))
    .order_by(_VERSION.c.version_number.desc())
    .limit(1)
)

_FILTERS: listing.Filters = {
    "version_number": listing.equal(DagVersion.version_number),
    "bundle_name": listing.equal(DagVersion.bundle_name),
    "bundle_version": listing.equal(DagVersion.bundle_version),
}
_SORTING = ordering.Sorting(
    columns={
        "version_number": DagVersion.version_number,
        "bundle_name": DagVersion.bundle_name,
        "bundle_version": DagVersion.bundle_version,
    },
    primary_key=("id", DagVersion.id),
)


class DagVersionNotFound(errors.NotFound):
    """The DAG has no such version."""

    title = "DAG version not found"

    def __init__(self, dag_id: str, version_number: int) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has no version {version_number}.",
            dag_id=dag_id,
            version_number=version_number,
        )


def get_dag_versions(dag_id: str, *, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the versions of a DAG, or of all DAGs for `~`; raises `DagNotFound`."""
    conditions = [*listing.conditions(_FILTERS, query), *_readable(dag_id, caller)]
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    keys = _SORTING.keys(query["order_by"])
    with reading() as session:
        if dag_id != "~":
            structure.require(dag_id, session)
        page = ordering.ordered(_STATEMENT.where(*conditions), keys).limit(limit).offset(offset)
        rows = session.execute(page).all()
        every = select(DagVersion.id).where(*conditions)
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
        return {"dag_versions": _entries(session, rows), "total_entries": total}


def _readable(dag_id: str, caller: Caller) -> list[ColumnElement[bool]]:
    if dag_id == "~":
        return caller.permissions.dag_scope("GET").restrict(DagVersion.dag_id)
    # As in Airflow, who may see the versions and not the DAG gets an empty list.
    return [DagVersion.dag_id == dag_id if caller.permissions.may_dag(dag_id, "GET") else false()]


def get_dag_version(dag_id: str, version_number: int) -> Entry:
    """Return one version of a DAG; raises `DagVersionNotFound`."""
    found = _STATEMENT.where(_VERSION.c.dag_id == dag_id, _VERSION.c.version_number == version_number)
    with reading() as session:
        rows = session.execute(found).all()
        if not rows:
            raise DagVersionNotFound(dag_id, version_number)
        return _entries(session, rows)[0]


def latest(session: Session, dag_id: str) -> Entry | None:
    """Return the newest version of the DAG, if there is one."""
    entries = _entries(session, session.execute(_LATEST, {"dag_id": dag_id}).all())
    return entries[0] if entries else None


def by_ids(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, Entry]:
    """Return the versions with these ids, by id; without an id there is no statement."""
    wanted = [id_ for id_ in ids if id_ is not None]
    rows = session.execute(_BY_IDS, {"ids": wanted}).all() if wanted else []
    return {entry["id"]: entry for entry in _entries(session, rows)}


def _entries(session: Session, rows: Sequence[Sequence[Any]]) -> list[Entry]:
    bundles = _bundles(session, {row[3] for row in rows if row[7]})
    return [
        {
            "id": row[0],
            "version_number": row[1],
            "dag_id": row[2],
            "bundle_name": row[3],
            "bundle_version": row[4],
            "created_at": row[5],
            "dag_display_name": row[6] or row[2],
            "bundle_url": bundles[row[3]].render_url(row[4]) if row[7] else None,
        }
        for row in rows
    ]


def _bundles(session: Session, names: set[str]) -> dict[str, DagBundleModel]:
    if not names:
        return {}
    found = session.scalars(select(DagBundleModel).where(DagBundleModel.name.in_(names)))
    return {bundle.name: bundle for bundle in found}
