"""Task instance filters: the conditions and the orders of lists of task instances, as `/api/v2` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.dag_version import DagVersion
from sqlalchemy import String, and_, case, cast, func, or_, select
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.lists.listing import Clause, Filters
from airflow_rest_api.services.lists.ordering import Sorting
from airflow_rest_api.services.task_instances.task_instance_rows import RUN, TASK_INSTANCE

_VERSION = DagVersion.__table__
_SINGLE_COLUMNS = {
    name: TASK_INSTANCE.c[name]
    for name in ("id", "state", "duration", "start_date", "end_date", "map_index", "try_number", "operator")
}
_OF_THE_RUN = ("run_after", "logical_date")

SORTING = Sorting(
    columns={
        **_SINGLE_COLUMNS,
        **{name: RUN.c[name] for name in (*_OF_THE_RUN, "data_interval_start", "data_interval_end")},
        # Instances without a name of their own sort by the number, those with one by name and then number.
        "rendered_map_index": (TASK_INSTANCE.c.rendered_map_index, TASK_INSTANCE.c.map_index),
    },
    primary_key=("id", TASK_INSTANCE.c.id),
)
BATCH_SORTING = Sorting(
    columns={
        name: _SINGLE_COLUMNS[name]
        for name in ("id", "state", "duration", "start_date", "end_date", "map_index")
    },
    primary_key=("id", TASK_INSTANCE.c.id),
)


def conditions(filters: Filters, query: Mapping[str, Any]) -> tuple[tuple[ColumnElement[bool], ...], bool]:
    """Apply a table of filters to what the caller sent; tell, too, whether a condition looks at the run.

    A duration of 0 is no bound: `/api/v2` takes it for an absent one.
    """
    given = {
        name: value
        for name, value in query.items()
        if value is not None and not (name.startswith("duration_") and not value)
    }
    return tuple(listing.conditions(filters, given)), any(name.startswith(_OF_THE_RUN) for name in given)


def one_of(column: Any) -> Clause:
    """The column has one of these values."""

    def clause(values: Sequence[Any]) -> ColumnElement[bool]:
        condition: ColumnElement[bool] = column.in_(list(values))
        return condition

    return clause


def _state(values: Sequence[str | None]) -> ColumnElement[bool]:
    known = [value for value in values if value not in (None, "none", "no_status")]
    terms: list[ColumnElement[bool]] = [TASK_INSTANCE.c.state.in_(known)] if known else []
    if len(known) < len(values):
        terms.append(TASK_INSTANCE.c.state.is_(None))
    return or_(*terms)


def _version_number(numbers: Sequence[int]) -> ColumnElement[bool]:
    with_number = select(_VERSION.c.id).where(_VERSION.c.version_number.in_(list(numbers)))
    condition: ColumnElement[bool] = TASK_INSTANCE.c.dag_version_id.in_(with_number)
    return condition


def _display_name_prefix(value: str) -> ColumnElement[bool]:
    """The display name, or else the id, starts with the term; written so that the indexes on the id help."""
    named, task_id = TASK_INSTANCE.c.task_display_name, TASK_INSTANCE.c.task_id
    by_id, by_name = listing.prefix(task_id)(value), listing.prefix(named)(value)
    return or_(and_(named.is_(None), by_id), by_name)


_LABEL = case(
    (TASK_INSTANCE.c.rendered_map_index.is_not(None), TASK_INSTANCE.c.rendered_map_index),
    (TASK_INSTANCE.c.map_index >= 0, cast(TASK_INSTANCE.c.map_index, String)),
    else_=None,
)

MAPPED_FILTERS: Filters = {
    **{
        name: clause
        for of_run in _OF_THE_RUN
        for name, clause in listing.ranges(of_run, RUN.c[of_run]).items()
    },
    **listing.ranges("start_date", TASK_INSTANCE.c.start_date, open_ended=True),
    **listing.ranges("end_date", TASK_INSTANCE.c.end_date, open_ended=True),
    **listing.ranges("updated_at", TASK_INSTANCE.c.updated_at),
    **listing.ranges("duration", TASK_INSTANCE.c.duration),
    "state": _state,
    "pool": one_of(TASK_INSTANCE.c.pool),
    "pool_name_pattern": listing.pattern(TASK_INSTANCE.c.pool),
    "pool_name_prefix_pattern": listing.prefix(TASK_INSTANCE.c.pool),
    "queue": one_of(TASK_INSTANCE.c.queue),
    "queue_name_pattern": listing.pattern(TASK_INSTANCE.c.queue),
    "queue_name_prefix_pattern": listing.prefix(TASK_INSTANCE.c.queue),
    "executor": one_of(TASK_INSTANCE.c.executor),
    "version_number": _version_number,
    "try_number": one_of(TASK_INSTANCE.c.try_number),
    "operator": one_of(TASK_INSTANCE.c.operator),
    "operator_name_pattern": listing.pattern(TASK_INSTANCE.c.custom_operator_name),
    "operator_name_prefix_pattern": listing.prefix(TASK_INSTANCE.c.custom_operator_name),
    "map_index": one_of(TASK_INSTANCE.c.map_index),
    "rendered_map_index_pattern": listing.pattern(_LABEL),
    "rendered_map_index_prefix_pattern": listing.prefix(_LABEL),
}

FILTERS: Filters = {
    **MAPPED_FILTERS,
    "task_id": listing.equal(TASK_INSTANCE.c.task_id),
    "task_display_name_pattern": listing.pattern(
        func.coalesce(TASK_INSTANCE.c.task_display_name, TASK_INSTANCE.c.task_id)
    ),
    "task_display_name_prefix_pattern": _display_name_prefix,
    "dag_id_pattern": listing.pattern(TASK_INSTANCE.c.dag_id),
    "dag_id_prefix_pattern": listing.prefix(TASK_INSTANCE.c.dag_id),
    "run_id_pattern": listing.pattern(TASK_INSTANCE.c.run_id),
    "run_id_prefix_pattern": listing.prefix(TASK_INSTANCE.c.run_id),
}

BATCH_FILTERS: Filters = {
    "dag_ids": one_of(TASK_INSTANCE.c.dag_id),
    "dag_run_ids": one_of(TASK_INSTANCE.c.run_id),
    "task_ids": one_of(TASK_INSTANCE.c.task_id),
    **{
        name: clause
        for of_run in _OF_THE_RUN
        for name, clause in listing.ranges(of_run, RUN.c[of_run]).items()
    },
    **listing.ranges("start_date", TASK_INSTANCE.c.start_date),
    **listing.ranges("end_date", TASK_INSTANCE.c.end_date),
    **listing.ranges("duration", TASK_INSTANCE.c.duration),
    "state": _state,
    "pool": one_of(TASK_INSTANCE.c.pool),
    "queue": one_of(TASK_INSTANCE.c.queue),
    "executor": one_of(TASK_INSTANCE.c.executor),
}
