"""Relatives: the tasks before and after others in a DAG, mapped ones index by index where that is possible."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from airflow.models.expandinput import NotFullyPopulated
from airflow.models.taskinstance import find_relevant_relatives
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# A task, or one instance of a mapped task: how Airflow's functions name what they are about.
Marker = str | tuple[str, int]
Direction = Literal["upstream", "downstream"]


def in_run(
    session: Session, dag: SerializedDAG, dag_run_id: str, markers: Collection[Marker], direction: Direction
) -> set[Marker]:
    """Return the relatives of tasks in one run, without these themselves; raises `TaskNotFound`.

    Within a mapped task group, the relatives of one instance are those with the same index.
    """
    plain = {marker for marker in markers if isinstance(marker, str)}
    mapped = {marker for marker in markers if not isinstance(marker, str)}
    _require(dag, {task_id for task_id, _ in mapped})
    # Airflow copies a part of the DAG for each instance of a task that is not mapped: one of them is enough.
    mapped = {(name, index if dag.get_task(name).get_needs_expansion() else -1) for name, index in mapped}

    def find(plain: Collection[str], mapped: Collection[tuple[str, int]]) -> set[Marker]:
        return set(
            find_relevant_relatives(
                plain, mapped, dag=dag, run_id=dag_run_id, direction=direction, session=session
            )
        )

    try:
        return find(plain, mapped)
    except NotFullyPopulated:
        # What decided on the number of instances has to run again: which of them belong together is unknown.
        return find(plain | {task_id for task_id, _ in mapped}, ())


def in_any_run(
    dag: SerializedDAG, markers: Collection[Marker], *, upstream: bool, downstream: bool
) -> set[Marker]:
    """Return the relatives of tasks without regard to a run: those of one instance are all instances."""
    names = {marker if isinstance(marker, str) else marker[0] for marker in markers}
    subset = dag.partial_subset(
        task_ids=names, include_upstream=upstream, include_downstream=downstream, exclude_original=True
    )
    return set(subset.task_dict)


def _require(dag: SerializedDAG, task_ids: Collection[str]) -> None:
    for task_id in sorted(task_ids):
        if not dag.has_task(task_id):
            raise errors.TaskNotFound(dag.dag_id, task_id)
