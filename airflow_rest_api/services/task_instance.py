"""Task instances: reading lists of them, and single ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, instants
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_filters import (
    BATCH_FILTERS,
    BATCH_SORTING,
    FILTERS,
    MAPPED_FILTERS,
    SORTING,
    conditions,
)
from airflow_rest_api.services.task_instances.task_instance_pages import Selection, by_cursor, by_offset
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE, Entry

_TIMES = ("run_after", "logical_date", "start_date", "end_date")


class TaskIsMapped(errors.NotFound):
    """The task is mapped: it has no single instance."""

    title = "The task is mapped"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"The task '{task_id}' is mapped; add a map index to the path.", task_id=task_id)


class TaskNotMapped(errors.NotFound):
    """The task has no mapped instances, and cannot have any."""

    title = "The task is not mapped"

    def __init__(self, dag_id: str, task_id: str) -> None:
        super().__init__(
            f"The task '{task_id}' of the DAG '{dag_id}' is not mapped.", dag_id=dag_id, task_id=task_id
        )


class MapIndexNeeded(errors.Conflict):
    """The task is mapped: one of its instances has to be named."""

    title = "The map index is needed"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"The task '{task_id}' is mapped; name an instance with map_index.", task_id=task_id)


def get_task_instances(dag_id: str, dag_run_id: str, *, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the task instances of a run, or with `~` of all runs, or of all runs of all DAGs.

    Raises `OrderNotAllowed`, `InvalidCursor` and what the path can be refused for (`task_instance_place.of_path`).
    """
    keys = SORTING.keys(query["order_by"])
    filters, needs_run = conditions(FILTERS, query)
    limit, offset, cursor = listing.page_limit(query["limit"]), query["offset"], query["cursor"]
    scope = _scope(caller, dag_id)
    with reading() as session:
        there = place.of_path(session, dag_id, dag_run_id, query["task_group_id"])
        selection = Selection(there, scope, filters, needs_run, few=dag_run_id != place.ALL)
        if cursor is None:
            return by_offset(session, selection, keys, limit=limit, offset=offset)
        return by_cursor(session, selection, keys, limit=limit, cursor=cursor)


def _scope(caller: Caller, dag_id: str) -> DagScope:
    """Return the DAGs that the caller may read, asking about no more than the one that was named."""
    if dag_id == place.ALL:
        return caller.permissions.dag_scope("GET")
    return DagScope(
        frozenset([dag_id] if caller.permissions.may_dag(dag_id, "GET") else []), everything=False
    )


def get_task_instances_batch(body: Mapping[str, Any], *, caller: Caller) -> Entry:
    """List the task instances of all DAGs that fit the filters of the body; raises `OrderNotAllowed`."""
    order = body.get("order_by")
    keys = BATCH_SORTING.keys([order] if order else None)
    filters, needs_run = conditions(BATCH_FILTERS, _with_times(body))
    # Nothing cuts the limit here, as in `/api/v2`.
    limit, offset = body.get("page_limit", 100), body.get("page_offset", 0)
    selection = Selection((), caller.permissions.dag_scope("GET"), filters, needs_run)
    with reading() as session:
        return by_offset(session, selection, keys, limit=limit, offset=offset)


def _with_times(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: instants.parse(value) if value and name.startswith(_TIMES) else value
        for name, value in body.items()
    }


def get_mapped_task_instances(
    dag_id: str, dag_run_id: str, task_id: str, *, query: Mapping[str, Any]
) -> Entry:
    """List the instances of a mapped task of a run; there are none when it was expanded over nothing.

    Raises `DagNotFound`, `TaskNotFound`, `TaskNotMapped` and `OrderNotAllowed`.
    """
    keys = SORTING.keys(query["order_by"])
    filters, needs_run = conditions(MAPPED_FILTERS, query)
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    instances = (*place.of_task(dag_id, dag_run_id, task_id), TASK_INSTANCE.c.map_index >= 0)
    with reading() as session:
        selection = Selection(instances, None, filters, needs_run, few=True)
        answer = by_offset(session, selection, keys, limit=limit, offset=offset)
        if not answer["task_instances"] and not Selection(instances).count(session, at_most=1):
            _require_mapped(session, dag_id, dag_run_id, task_id)
        return answer


def _require_mapped(session: Session, dag_id: str, dag_run_id: str, task_id: str) -> None:
    dag = place.structure_of_run(session, dag_id, dag_run_id)
    if not dag.has_task(task_id):
        raise errors.TaskNotFound(dag_id, task_id)
    if not dag.get_task(task_id).get_needs_expansion():
        raise TaskNotMapped(dag_id, task_id)


def get_task_instance(dag_id: str, dag_run_id: str, task_id: str) -> Entry:
    """Return the instance of a task that is not mapped; raises `TaskInstanceNotFound` and `TaskIsMapped`."""
    return get_mapped_task_instance(dag_id, dag_run_id, task_id, -1)


def get_mapped_task_instance(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Entry:
    """Return one instance of a task; raises `TaskInstanceNotFound`, and `TaskIsMapped` where -1 is none of them."""
    with reading() as session:
        found = task_instance_rows.one(session, dag_id, dag_run_id, task_id, map_index)
        if found is not None:
            return found
        if map_index == -1 and _has_instances(session, dag_id, dag_run_id, task_id):
            raise TaskIsMapped(task_id)
        raise errors.TaskInstanceNotFound(dag_id, dag_run_id, task_id, map_index)


def get_states(dag_id: str, dag_run_id: str, task_id: str) -> set[str | None]:
    """Return the states that the instances of a task are in; none where the run has no instance of it."""
    wanted = select(TASK_INSTANCE.c.state).where(*place.of_task(dag_id, dag_run_id, task_id)).distinct()
    with reading() as session:
        return set(session.scalars(wanted))


def _has_instances(session: Session, dag_id: str, dag_run_id: str, task_id: str) -> bool:
    instances = Selection(place.of_task(dag_id, dag_run_id, task_id))
    return instances.count(session, at_most=1) > 0
