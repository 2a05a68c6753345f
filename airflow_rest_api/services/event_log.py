"""Event logs: who did what, as Airflow and this service wrote it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import and_, bindparam, func, or_, select, true
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import cursor_page, listing, ordering
from airflow_rest_api.services.lists.cursor_page import Row, Rows
from airflow_rest_api.services.lists.ordering import Cursor, SortKey

Conditions = Sequence[ColumnElement[bool]]
Entry = dict[str, Any]

_LOG = Log.__table__
_DAG = DagModel.__table__
_TASK_INSTANCE = TaskInstance.__table__
_FIELDS = (
    "event_log_id",
    "when",
    "dag_id",
    "task_id",
    "run_id",
    "map_index",
    "try_number",
    "event",
    "logical_date",
    "owner",
    "extra",
    "dag_display_name",
    "task_display_name",
)
_TEXTS = ("dag_id", "task_id", "run_id", "owner", "event")

_FILTERS: listing.Filters = {
    **{name: listing.equal(_LOG.c[name]) for name in (*_TEXTS, "map_index", "try_number")},
    "excluded_events": listing.none_of(_LOG.c.event),
    "included_events": lambda events: _LOG.c.event.in_(list(events)),
    "before": lambda moment: _LOG.c.dttm < moment,
    "after": lambda moment: _LOG.c.dttm > moment,
    **{f"{name}_pattern": listing.pattern(_LOG.c[name]) for name in _TEXTS},
    **{f"{name}_prefix_pattern": listing.prefix(_LOG.c[name]) for name in _TEXTS},
}
_SORTING = ordering.Sorting(
    columns={
        "event_log_id": _LOG.c.id,
        "when": _LOG.c.dttm,
        **{
            name: _LOG.c[name]
            for name in (
                "id",
                "dttm",
                "dag_id",
                "task_id",
                "run_id",
                "event",
                "logical_date",
                "owner",
                "extra",
            )
        },
    },
    primary_key=("id", _LOG.c.id),
)
# A cursor holds the values that its list is ordered by, and `extra` may be longer than an address can be.
_SORTING_BY_CURSOR = replace(
    _SORTING, columns={name: column for name, column in _SORTING.columns.items() if name != "extra"}
)

_OF_THE_TASK = and_(
    *(_TASK_INSTANCE.c[name] == _LOG.c[name] for name in ("dag_id", "task_id", "run_id", "map_index"))
)
_WHOLE = select(
    _LOG.c.id,
    _LOG.c.dttm,
    *(_LOG.c[name] for name in _FIELDS[2:11]),
    select(func.coalesce(_DAG.c.dag_display_name, _DAG.c.dag_id))
    .where(_DAG.c.dag_id == _LOG.c.dag_id)
    .scalar_subquery(),
    select(func.coalesce(_TASK_INSTANCE.c.task_display_name, _TASK_INSTANCE.c.task_id))
    .where(_OF_THE_TASK)
    .scalar_subquery(),
)
# Where a row of these holds the value of a column.
_PLACES = {"id": 0, "dttm": 1, **{name: number for number, name in enumerate(_FIELDS[2:11], start=2)}}
# An answer has to name the time; rows without one are as good as not there, as in `/api/v2`.
_HAS_TIME = _LOG.c.dttm.is_not(None)
_ONE = _WHOLE.where(_LOG.c.id == bindparam("id"))


class EventLogNotFound(errors.NotFound):
    """There is no such entry in the event log."""

    title = "Event log entry not found"

    def __init__(self, event_log_id: int) -> None:
        super().__init__(f"The event log has no entry {event_log_id}.", event_log_id=event_log_id)


def get_event_logs(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the entries that speak of no DAG, or of one that the caller may read.

    By offset, or by cursor where the query has one. Raises `OrderNotAllowed` and `InvalidCursor`.
    """
    limit, cursor = listing.page_limit(query["limit"]), query["cursor"]
    keys = (_SORTING if cursor is None else _SORTING_BY_CURSOR).keys(query["order_by"])
    scope = caller.permissions.dag_scope("GET")
    conditions = [*listing.conditions(_FILTERS, query), _HAS_TIME, _permitted(scope)]
    with reading() as session:
        if cursor is None:
            return _by_offset(session, conditions, keys, limit, query["offset"])
        return _by_cursor(session, conditions, keys, limit, cursor)


def _by_offset(
    session: Session, conditions: Conditions, keys: Sequence[SortKey], limit: int, offset: int
) -> Entry:
    rows = _rows(session, conditions, keys, limit, offset)
    every = select(_LOG.c.id).where(*conditions)
    total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
    return {"event_logs": _entries(rows), "total_entries": total}


def _by_cursor(
    session: Session, conditions: Conditions, keys: Sequence[SortKey], limit: int, cursor: str
) -> Entry:
    def find(place: Cursor | None, number: int) -> Rows:
        beyond = [place.condition(keys, session.get_bind().dialect.name)] if place else []
        backward = place is not None and place.backward
        return _rows(session, [*conditions, *beyond], keys, number, backward=backward)

    def values(row: Row) -> list[Any]:
        return [row[_PLACES[key.column.key]] for key in keys]

    page = cursor_page.read(cursor, keys, limit, find=find, values=values)
    every = select(_LOG.c.id).where(*conditions)
    total = listing.total(session, every, at_most=listing.CURSOR_COUNT_LIMIT)
    return {"event_logs": _entries(page.rows), **page.members(total)}


def _rows(
    session: Session,
    conditions: Conditions,
    keys: Sequence[SortKey],
    limit: int,
    offset: int = 0,
    *,
    backward: bool = False,
) -> Rows:
    # The page is found among the narrow columns; what is long, and what others know, is read for its entries alone.
    found = select(_LOG.c.id, *(key.column.label(f"key_{number}") for number, key in enumerate(keys)))
    sought = ordering.ordered(found.where(*conditions), keys, backward=backward)
    page = sought.limit(limit).offset(offset).subquery("page")
    statement = _WHOLE.select_from(page.join(_LOG, _LOG.c.id == page.c.id))
    return session.execute(ordering.ordered(statement, keys, backward=backward)).all()


def _entries(rows: Rows) -> list[Entry]:
    return [dict(zip(_FIELDS, row, strict=True)) for row in rows]


def _permitted(scope: DagScope) -> ColumnElement[bool]:
    return or_(and_(true(), *scope.restrict(_LOG.c.dag_id)), _LOG.c.dag_id.is_(None))


def get_event_log(event_log_id: int, *, caller: Caller) -> Entry:
    """Return one entry; raises `EventLogNotFound`, and `Denied` where the caller may not read the DAG's entries."""
    with reading() as session:
        row = session.execute(_ONE, {"id": event_log_id}).one_or_none()
    entry = dict(zip(_FIELDS, row, strict=True)) if row else None
    caller.permissions.require_dag(entry["dag_id"] if entry else None, "GET", "AUDIT_LOG")
    if entry is None or entry["when"] is None:
        raise EventLogNotFound(event_log_id)
    return entry
