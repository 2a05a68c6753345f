"""Task graph: which tasks of a DAG lie before and behind others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG


def before(dag: SerializedDAG, task_ids: Iterable[str], within: Collection[str] | None = None) -> set[str]:
    """Return all tasks upstream of these, as far as a path leads to them that stays ``within``."""
    return _reached(dag, task_ids, within, upstream=True)


def behind(dag: SerializedDAG, task_ids: Iterable[str]) -> set[str]:
    """Return all tasks downstream of these."""
    return _reached(dag, task_ids, None, upstream=False)


def neighbours(dag: SerializedDAG, task_id: str, *, upstream: bool) -> Set[str]:
    """Return the tasks directly before a task, or directly behind it."""
    task = dag.get_task(task_id)
    return task.upstream_task_ids if upstream else task.downstream_task_ids


def nearest_before(dag: SerializedDAG, task_id: str, wanted: Collection[str]) -> set[str]:
    """Return the wanted tasks that lie before a task with at least one between, and none but unwanted ones."""
    found: set[str] = set()
    passed = {name for name in neighbours(dag, task_id, upstream=True) if name not in wanted}
    waiting = list(passed)
    while waiting:
        for name in neighbours(dag, waiting.pop(), upstream=True) - passed:
            if name in wanted:
                found.add(name)
            else:
                passed.add(name)
                waiting.append(name)
    return found


def surroundings(dag: SerializedDAG) -> set[str]:
    """Return all setups and teardowns of a DAG."""
    return {task.task_id for task in dag.tasks if task.is_setup or task.is_teardown}


def with_surroundings(dag: SerializedDAG, task_ids: Iterable[str]) -> set[str]:
    """Return the tasks with the setups and teardowns that Airflow, too, clears along with them.

    A task that works has those around it, a setup the teardowns of what it sets up.
    """
    found = set(task_ids)
    if not surroundings(dag) - found:
        return found
    for task in [dag.get_task(task_id) for task_id in found]:
        if task.is_setup:
            found |= {other.task_id for other in task.downstream_list if other.is_teardown}
        elif not task.is_teardown:
            found |= {other.task_id for other in task.get_upstreams_only_setups_and_teardowns()}
    return found


def feeders(dag: SerializedDAG, task_id: str) -> set[str]:
    """Return the tasks whose results tell how many instances the task, or a group that it is in, expands to."""
    task = dag.get_task(task_id)
    found = {other.task_id for other in task.iter_mapped_dependencies()} if task.is_mapped else set()
    for group in task.iter_mapped_task_groups():
        found |= {other.task_id for other in group.iter_mapped_dependencies()}
    return found


def _reached(
    dag: SerializedDAG, task_ids: Iterable[str], within: Collection[str] | None, *, upstream: bool
) -> set[str]:
    found: set[str] = set()
    waiting = list(task_ids)
    while waiting:
        for task_id in neighbours(dag, waiting.pop(), upstream=upstream) - found:
            if within is None or task_id in within:
                found.add(task_id)
                waiting.append(task_id)
    return found
