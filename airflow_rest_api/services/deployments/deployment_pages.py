"""Deployment pages: which deployments a caller may see, and one page of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.lists import cursor_page, listing, ordering
from airflow_rest_api.services.lists.cursor_page import Row, Rows
from airflow_rest_api.services.lists.ordering import Cursor, SortKey
from airflow_rest_api.storage.tables import deployment as table
from airflow_rest_api.storage.tables import deployment_dag

Conditions = Sequence[ColumnElement[bool]]
Entry = dict[str, Any]

_OF_IT = deployment_dag.c.deployment_id == table.c.id
_FILTERS: listing.Filters = {
    "bundle_name": listing.equal(table.c.bundle_name),
    "path": listing.equal(table.c.path),
    "dag_id": lambda dag_id: exists().where(_OF_IT, deployment_dag.c.dag_id == dag_id),
    "state": lambda states: table.c.state.in_(list(states)),
    "deployed_by": listing.equal(table.c.caller_name),
    **listing.ranges("created_at", table.c.created_at),
}
SORTING = ordering.Sorting(
    columns={name: table.c[name] for name in ("created_at", "number")},
    primary_key=("deployment_id", table.c.id),
)
STATEMENT = select(*rows.NARROW, rows.IS_CURRENT)


def visible(caller: Caller) -> Conditions:
    """Return the conditions for deployments that a caller may see: their own, and those of DAGs that they may read.

    Of a deployment with several DAGs it takes all of them; one without a DAG is seen by who may deploy.
    """
    scope = caller.permissions.dag_scope("GET")
    if scope.everything:
        return []
    hidden = exists().where(_OF_IT, deployment_dag.c.dag_id.not_in(sorted(scope.dag_ids)))
    any_dag = exists().where(_OF_IT)
    readable = ~hidden if caller.permissions.may_power("deploy") else any_dag & ~hidden
    return [or_(table.c.caller_id == caller.id, readable)]


def read(session: Session, query: Mapping[str, Any], caller: Caller) -> Entry:
    """Read a page by offset, or by cursor where the query has one; raises `InvalidCursor`."""
    conditions = [*listing.conditions(_FILTERS, query), *visible(caller)]
    keys, limit = SORTING.keys(query["order_by"]), listing.page_limit(query["limit"])
    if query["cursor"] is not None:
        return _by_cursor(session, conditions, keys, limit, query["cursor"])
    found = _rows(session, conditions, keys, limit, query["offset"])
    every = select(table.c.id).where(*conditions)
    total = listing.page_total(session, every, found=len(found), limit=limit, offset=query["offset"])
    members = {"total_entries_limit": None, "next_cursor": None, "previous_cursor": None}
    return {"deployments": _entries(found), "total_entries": total, **members}


def _by_cursor(
    session: Session, conditions: Conditions, keys: Sequence[SortKey], limit: int, cursor: str
) -> Entry:
    def find(place: Cursor | None, number: int) -> Rows:
        beyond = [place.condition(keys, session.get_bind().dialect.name)] if place else []
        backward = place is not None and place.backward
        return _rows(session, [*conditions, *beyond], keys, number, backward=backward)

    def values(row: Row) -> list[Any]:
        return [getattr(row, key.column.key) for key in keys]

    page = cursor_page.read(cursor, keys, limit, find=find, values=values)
    total = listing.total(session, select(table.c.id).where(*conditions), at_most=listing.CURSOR_COUNT_LIMIT)
    return {"deployments": _entries(page.rows), **page.members(total)}


def _rows(
    session: Session,
    conditions: Conditions,
    keys: Sequence[SortKey],
    limit: int,
    offset: int = 0,
    *,
    backward: bool = False,
) -> Rows:
    statement = ordering.ordered(STATEMENT.where(*conditions), keys, backward=backward)
    return session.execute(statement.limit(limit).offset(offset)).all()


def _entries(found: Rows) -> list[Entry]:
    return [rows.entry(row, is_current=bool(row[-1])) for row in found]
