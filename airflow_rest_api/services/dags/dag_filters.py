"""DAG filters: the conditions that narrow a list of DAGs, and the orders that it may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.models.asset import AssetModel, DagScheduleAssetReference
from airflow.models.dag import DagModel, DagTag
from airflow.models.dag_favorite import DagFavorite
from airflow.models.dagrun import DagRun
from sqlalchemy import and_, exists, func, or_, select, true
from sqlalchemy.sql import ColumnElement, Select

from airflow_rest_api.services.caller import DagScope
from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.lists.listing import Filters
from airflow_rest_api.services.lists.ordering import Sorting

Query = Mapping[str, Any]

_DAG = DagModel.__table__
_TAG = DagTag.__table__
_RUN = DagRun.__table__
_FAVOURITE = DagFavorite.__table__
_ASSET = AssetModel.__table__
_WAITING = DagScheduleAssetReference.__table__
_NAME = func.coalesce(_DAG.c.dag_display_name, _DAG.c.dag_id).label("dag_display_name")


def _present(exclude_stale: bool) -> ColumnElement[bool]:
    return _DAG.c.is_stale.is_(False) if exclude_stale else true()


def _owned(owners: Iterable[str]) -> ColumnElement[bool]:
    return or_(*(_includes(_DAG.c.owners, owner) for owner in owners))


def _includes(column: Any, text: str) -> ColumnElement[bool]:
    """The column contains the text to the letter, in any case."""
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    condition: ColumnElement[bool] = column.ilike(f"%{literal}%", escape="\\")
    return condition


def _scheduled_by_assets(wanted: bool) -> ColumnElement[bool]:
    waiting = exists().where(_WAITING.c.dag_id == _DAG.c.dag_id)
    return waiting if wanted else ~waiting


def _depends_on_asset(text: str) -> ColumnElement[bool]:
    return (
        exists()
        .where(_WAITING.c.dag_id == _DAG.c.dag_id)
        .where(_ASSET.c.id == _WAITING.c.asset_id)
        .where(or_(_includes(_ASSET.c.name, text), _includes(_ASSET.c.uri, text)))
    )


_CHOICE: Filters = {
    "exclude_stale": _present,
    "paused": listing.equal(_DAG.c.is_paused),
    "dag_id_pattern": listing.pattern(_DAG.c.dag_id),
    "dag_id_prefix_pattern": listing.prefix(_DAG.c.dag_id),
    "owners": _owned,
}

_FILTERS: Filters = {
    **_CHOICE,
    "has_import_errors": listing.equal(_DAG.c.has_import_errors),
    "dag_display_name_pattern": listing.pattern(_NAME),
    "dag_display_name_prefix_pattern": listing.prefix(_NAME),
    "bundle_name": listing.equal(_DAG.c.bundle_name),
    "bundle_version": listing.equal(_DAG.c.bundle_version),
    "timetable_type": lambda names: _DAG.c.timetable_type.in_(list(names)),
    "has_asset_schedule": _scheduled_by_assets,
    "asset_dependency": _depends_on_asset,
}

# These look at the latest run of each DAG.
_RUN_FILTERS: Filters = {
    "last_dag_run_state": listing.equal(_RUN.c.state),
    **listing.ranges("dag_run_start_date", _RUN.c.start_date),
    **listing.ranges("dag_run_end_date", _RUN.c.end_date),
    "dag_run_state": listing.any_of(_RUN.c.state),
}

_RUN_COLUMNS = {"last_run_state": _RUN.c.state, "last_run_start_date": _RUN.c.start_date}

SORTING = Sorting(
    columns={
        "dag_id": _DAG.c.dag_id,
        "dag_display_name": _NAME,
        "next_dagrun": _DAG.c.next_dagrun,
        **_RUN_COLUMNS,
    },
    primary_key=("dag_id", _DAG.c.dag_id),
)


def chosen(query: Query, scope: DagScope) -> list[ColumnElement[bool]]:
    """Return the conditions of `patch_dags`; without a pattern no DAG is chosen."""
    if not (query.get("dag_id_pattern") or query.get("dag_id_prefix_pattern")):
        return [_DAG.c.dag_id.is_(None)]
    return [*listing.conditions(_CHOICE, query), *_tagged(query), *_within(scope)]


def listed(query: Query, scope: DagScope, user_id: str) -> list[ColumnElement[bool]]:
    """Return the conditions of `get_dags` on the DAGs themselves."""
    return [
        *listing.conditions(_FILTERS, query),
        *_tagged(query),
        *_favoured(query, user_id),
        *_within(scope),
    ]


def with_latest_run(statement: Select[Any], query: Query, scope: DagScope) -> Select[Any]:
    """Join the latest run of each DAG and apply the filters on it, where the query asks for either."""
    run_conditions = listing.conditions(_RUN_FILTERS, query)
    ordered_by_run = {name.lstrip("-") for name in query.get("order_by") or ()} & _RUN_COLUMNS.keys()
    if not (run_conditions or ordered_by_run):
        return statement
    newest = (
        select(_RUN.c.dag_id, func.max(_RUN.c.id).label("id"))
        .where(*([] if scope.everything else scope.restrict(_RUN.c.dag_id)))
        .group_by(_RUN.c.dag_id)
        .subquery()
    )
    return (
        statement.outerjoin(newest, _DAG.c.dag_id == newest.c.dag_id)
        .outerjoin(_RUN, _RUN.c.id == newest.c.id)
        .where(*run_conditions)
    )


def _within(scope: DagScope) -> list[ColumnElement[bool]]:
    return [] if scope.everything else scope.restrict(_DAG.c.dag_id)


def _tagged(query: Query) -> list[ColumnElement[bool]]:
    carried: list[ColumnElement[bool]] = [
        exists().where(and_(_TAG.c.dag_id == _DAG.c.dag_id, _TAG.c.name == tag))
        for tag in query.get("tags") or ()
    ]
    if not carried:
        return []
    return carried if query.get("tags_match_mode") == "all" else [or_(*carried)]


def _favoured(query: Query, user_id: str) -> list[ColumnElement[bool]]:
    wanted = query.get("is_favorite")
    if wanted is None:
        return []
    favourite = exists().where(and_(_FAVOURITE.c.dag_id == _DAG.c.dag_id, _FAVOURITE.c.user_id == user_id))
    return [favourite if wanted else ~favourite]
