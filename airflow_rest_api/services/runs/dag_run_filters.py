"""DAG run filters: the conditions and the orders of lists of runs, as `/api/v2` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from airflow.models.asset import AssetEvent, AssetModel, association_table
from airflow.models.dag_version import DagVersion
from airflow.timetables.base import Timetable
from sqlalchemy import Float, case, func, or_, select, text, true, type_coerce
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.lists.ordering import Sorting
from airflow_rest_api.services.runs.dag_run_rows import RUN

_VERSION = DagVersion.__table__
_EVENT = AssetEvent.__table__
_ASSET = AssetModel.__table__
_ESCAPE = "\\"
_BATCH_ORDERS = (
    "id",
    "state",
    "dag_id",
    "run_after",
    "logical_date",
    "run_id",
    "start_date",
    "end_date",
    "updated_at",
    "conf",
)


@lru_cache(maxsize=4)
def sorting(dialect: str) -> Sorting:
    """Return what lists of runs may be ordered by on this kind of database."""
    columns = {name: RUN.c[name] for name in (*_BATCH_ORDERS, "partition_date")}
    return Sorting(
        columns={**columns, "dag_run_id": RUN.c.run_id, "duration": duration(dialect)},
        primary_key=("id", RUN.c.id),
    )


BATCH_SORTING = Sorting(
    columns={**{name: RUN.c[name] for name in _BATCH_ORDERS}, "dag_run_id": RUN.c.run_id},
    primary_key=("id", RUN.c.id),
)


def conditions(query: Mapping[str, Any], dialect: str) -> list[ColumnElement[bool]]:
    """Make the conditions of the list's query parameters, but for the days of its partitions."""
    return listing.conditions(_filters(dialect), _with_bounds(query))


def batch_conditions(query: Mapping[str, Any], dialect: str) -> list[ColumnElement[bool]]:
    """Make the conditions of the fields of a batch's body, its date-times parsed."""
    return listing.conditions(_batch_filters(dialect), _with_bounds(query))


def partition_days(timetable: Timetable, first: date | None, last: date | None) -> list[ColumnElement[bool]]:
    """Keep runs whose partition lies on these days, both included, in the time zone of the timetable."""
    bounds: list[ColumnElement[bool]] = []
    if first is not None:
        bounds.append(RUN.c.partition_date >= _midnight(timetable, first))
    if last is not None:
        bounds.append(RUN.c.partition_date < _midnight(timetable, last + timedelta(days=1)))
    return bounds


def _midnight(timetable: Timetable, day: date) -> datetime:
    return timetable.localize_partition_datetime(datetime.combine(day, time.min))


def _with_bounds(query: Mapping[str, Any]) -> dict[str, Any]:
    # `/api/v2` takes a bound of zero for an absent one; it would leave out what has not ended yet.
    return {name: value for name, value in query.items() if not (name.startswith("duration_") and not value)}


def duration(dialect: str) -> ColumnElement[Any]:
    """Return the seconds from start to end; null for what has not ended."""
    start, end = RUN.c.start_date, RUN.c.end_date
    if dialect == "mysql":
        return func.timestampdiff(text("SECOND"), start, end)
    if dialect == "sqlite":
        seconds: ColumnElement[Any] = (func.julianday(end) - func.julianday(start)) * 86400
    else:
        seconds = func.extract("epoch", end - start)
    # SQLAlchemy takes an extract for a whole number.
    return case((end.is_not(None) & start.is_not(None), type_coerce(seconds, Float())), else_=None)


@lru_cache(maxsize=4)
def _filters(dialect: str) -> listing.Filters:
    plain = ("run_after", "logical_date", "updated_at")
    return {
        **{
            name: clause for column in plain for name, clause in listing.ranges(column, RUN.c[column]).items()
        },
        **listing.ranges("start_date", RUN.c.start_date, open_ended=True),
        **listing.ranges("end_date", RUN.c.end_date, open_ended=True),
        **listing.ranges("duration", duration(dialect)),
        "conf_contains": listing.contains(RUN.c.conf),
        "run_type": listing.any_of(RUN.c.run_type),
        "state": listing.any_of(RUN.c.state),
        "dag_version": _made_with_version,
        "bundle_version": listing.equal(RUN.c.bundle_version),
        **_names("run_id"),
        **_names("triggering_user_name"),
        **_names("dag_id"),
        "partition_key_pattern": listing.pattern(RUN.c.partition_key, alternatives=False),
        "partition_key_prefix_pattern": listing.prefix(RUN.c.partition_key, alternatives=False),
        "consuming_asset_pattern": _triggered_by_asset,
    }


@lru_cache(maxsize=4)
def _batch_filters(dialect: str) -> listing.Filters:
    columns = ("run_after", "logical_date", "start_date", "end_date")
    return {
        "dag_ids": RUN.c.dag_id.in_,
        "states": listing.any_of(RUN.c.state),
        **{
            name: clause
            for column in columns
            for name, clause in listing.ranges(column, RUN.c[column]).items()
        },
        **listing.ranges("duration", duration(dialect)),
        "conf_contains": listing.contains(RUN.c.conf),
    }


def _names(column: str) -> dict[str, listing.Clause]:
    return {
        f"{column}_pattern": listing.pattern(RUN.c[column]),
        f"{column}_prefix_pattern": listing.prefix(RUN.c[column]),
    }


def _made_with_version(numbers: Sequence[int]) -> ColumnElement[bool]:
    with_number = select(_VERSION.c.id).where(_VERSION.c.version_number.in_(list(numbers)))
    made_with: ColumnElement[bool] = RUN.c.created_dag_version_id.in_(with_number)
    return made_with


def _triggered_by_asset(term: str) -> ColumnElement[bool]:
    """The run consumed an event of an asset whose name or URI contains the term, to the letter, in any case."""
    if not term:
        return true()
    like = "%" + term.replace(_ESCAPE, _ESCAPE * 2).replace("%", "\\%").replace("_", "\\_") + "%"
    named = or_(_ASSET.c.name.ilike(like, escape=_ESCAPE), _ASSET.c.uri.ilike(like, escape=_ESCAPE))
    events = select(_EVENT.c.id).join(_ASSET, _EVENT.c.asset_id == _ASSET.c.id).where(named)
    runs = select(association_table.c.dag_run_id).where(association_table.c.event_id.in_(events))
    triggered: ColumnElement[bool] = RUN.c.id.in_(runs)
    return triggered
