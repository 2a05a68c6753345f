"""DAG runs: every operation on them; the reading ones are here, the others in modules of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors, instants
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.explaining import explanation
from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.runs import dag_run_rows, selection_outcome
from airflow_rest_api.services.runs.dag_run_bulk import bulk_dag_runs
from airflow_rest_api.services.runs.dag_run_changes import delete_dag_run, patch_dag_run
from airflow_rest_api.services.runs.dag_run_clearing import clear_dag_run, clear_dag_runs
from airflow_rest_api.services.runs.dag_run_filters import (
    BATCH_SORTING,
    batch_conditions,
    conditions,
    partition_days,
    sorting,
)
from airflow_rest_api.services.runs.dag_run_pages import Selection, by_cursor, by_offset
from airflow_rest_api.services.runs.dag_run_rows import RUN, Entry
from airflow_rest_api.services.runs.dag_run_trigger import trigger_dag_run

__all__ = [
    "bulk_dag_runs",
    "clear_dag_run",
    "clear_dag_runs",
    "delete_dag_run",
    "get_dag_run",
    "get_dag_runs",
    "get_list_dag_runs_batch",
    "patch_dag_run",
    "trigger_dag_run",
]

ALL = "~"
# As `/api/v2`: the page of a batch is not cut to `[api] maximum_page_limit`.
BATCH_PAGE = 100


class PartitionDaysNeedDag(errors.Malformed):
    """Days of partitions were given without a DAG that has partitions."""

    title = "Partition days need a partitioned DAG"


def get_dag_run(dag_id: str, dag_run_id: str, *, caller: Caller, explain: bool = False) -> Entry:
    """Return a run, with the outcome of the tasks that were selected where it was made of some.

    With ``explain`` also what holds it and its tasks back. Raises `DagRunNotFound` and `Denied`.
    """
    if explain:
        caller.permissions.require_dag(dag_id, "GET", "TASK_INSTANCE")
    with reading() as session:
        run = selection_outcome.told(session, dag_run_rows.one(session, dag_id, dag_run_id))
        if not explain:
            return run
        return {**run, "explanation": explanation.of_run(session, dag_id, dag_run_id, caller)}


def get_dag_runs(dag_id: str, *, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the runs of a DAG, or of all DAGs for `~`, as far as the caller may read these.

    Raises `DagNotFound`, `PartitionDaysNeedDag` and what an order or a cursor can be refused for.
    """
    scope = caller.permissions.dag_scope("GET")
    limit = listing.page_limit(query["limit"])
    with reading() as session:
        dialect = session.get_bind().dialect.name
        filters = [*_of_dag(session, dag_id, query), *conditions(query, dialect)]
        selection = Selection(scope, filters)
        keys = sorting(dialect).keys(query["order_by"])
        if query["cursor"] is not None:
            return by_cursor(session, selection, keys, limit, query["cursor"])
        return by_offset(session, selection, keys, limit, query["offset"])


def get_list_dag_runs_batch(*, body: Mapping[str, Any], caller: Caller) -> Entry:
    """List the runs of all DAGs that fit the filters of the body, as far as the caller may read them."""
    scope = caller.permissions.dag_scope("GET")
    query = {name: _parsed(name, value) for name, value in body.items()}
    order_by = query.get("order_by")
    keys = BATCH_SORTING.keys([order_by] if order_by else None)
    with reading() as session:
        selection = Selection(scope, batch_conditions(query, session.get_bind().dialect.name))
        return by_offset(
            session, selection, keys, query.get("page_limit", BATCH_PAGE), query.get("page_offset", 0)
        )


def _of_dag(session: Session, dag_id: str, query: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    first, last = query["partition_date_gte"], query["partition_date_lte"]
    by_partition = first is not None or last is not None
    if dag_id == ALL:
        if by_partition:
            raise PartitionDaysNeedDag(
                "Days of partitions mean nothing without a DAG; name the DAG in the path."
            )
        return []
    if not by_partition:
        structure.require(dag_id, session)
        return [RUN.c.dag_id == dag_id]
    timetable = structure.read_latest(dag_id, session).timetable
    if not timetable.partitioned:
        raise PartitionDaysNeedDag(
            f"The DAG '{dag_id}' has no partitions, so none of its runs has a partition's day."
        )
    return [RUN.c.dag_id == dag_id, *partition_days(timetable, first, last)]


def _parsed(name: str, value: Any) -> Any:
    is_instant = name.endswith(("_gte", "_gt", "_lte", "_lt")) and isinstance(value, str)
    return instants.parse(value) if is_instant else value
