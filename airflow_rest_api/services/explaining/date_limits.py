"""Date limits: the tasks that a run lacks because its logical date is outside their start and end dates.

Airflow makes no instances of such tasks (`DagRun.verify_integrity`), except in backfills. A run without any instance
ends in success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.utils.types import DagRunType

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.explaining.holding import Cause

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# How many tasks a cause names.
_NAMED = 20


def causes(
    dag: SerializedDAG, logical_date: datetime | None, run_type: str, present: Collection[str]
) -> Iterator[Cause]:
    """Yield why the run lacks tasks of the DAG; ``present`` are the tasks of which it has instances."""
    if logical_date is None or run_type == DagRunType.BACKFILL_JOB:
        return
    absent = [task for task in dag.tasks if task.task_id not in present]
    early = {task.task_id: task.start_date for task in absent if task.start_date}
    early = {task_id: date for task_id, date in early.items() if logical_date < date}
    late = {task.task_id: task.end_date for task in absent if task.end_date}
    late = {task_id: date for task_id, date in late.items() if logical_date > date}
    if early:
        first = min(early.values())
        yield _cause("logical_date_before_start_date", "start_date", dag, logical_date, list(early), first)
    if late:
        last = max(late.values())
        yield _cause("logical_date_after_end_date", "end_date", dag, logical_date, list(late), last)


def _cause(
    code: str, name: str, dag: SerializedDAG, logical_date: datetime, tasks: Sequence[str], limit: datetime
) -> Cause:
    is_every = len(tasks) == len(dag.tasks)
    names = ", ".join(f"'{task_id}'" for task_id in tasks[:_NAMED])
    whose = f"the tasks of the DAG '{dag.dag_id}'" if is_every else f"the task(s) {names}"
    side = "before" if name == "start_date" else "after"
    end = " The run ends in success without executing a task." if is_every else ""
    moments = {"logical_date": structure.instant(logical_date), name: structure.instant(limit)}
    return Cause(
        code,
        f"The logical date {logical_date.isoformat()} is {side} the {name} {limit.isoformat()} of {whose}:"
        f" Airflow makes no instances of them.{end}",
        facts={**moments, "task_ids": list(tasks[:_NAMED]), "tasks": len(tasks)},
    )
