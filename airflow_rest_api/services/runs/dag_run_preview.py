"""Previews of runs: what would become of a run that was made in a transaction which is undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.explaining import date_limits, holding
from airflow_rest_api.services.explaining.holding import Cause
from airflow_rest_api.services.runs import selection
from airflow_rest_api.services.runs.dag_run_rows import Entry
from airflow_rest_api.services.runs.selection import Selection

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG


def of(session: Session, entry: Entry, selected: Selection | None) -> dict[str, Any]:
    """Tell how many task instances the run has, when it could start, what holds it back, and what would run."""
    dag = structure.read_latest(entry["dag_id"], session)
    task_ids = selected.task_ids if selected else frozenset(dag.task_ids)
    mine = select(TaskInstance).where(
        TaskInstance.dag_id == entry["dag_id"], TaskInstance.run_id == entry["dag_run_id"]
    )
    instances = list(session.scalars(mine))
    runs = [instance for instance in instances if instance.task_id in task_ids]
    return {
        "task_instances": len(instances),
        "held_back_by": [cause.code for cause in _causes(session, entry, dag, instances)],
        "starts_after": entry["run_after"],
        "waits_for_previous_run": sorted(set(_held_by_the_past(session, dag, runs))),
        **(selection.marks(selected) if selected else {}),
    }


def _causes(
    session: Session, entry: Entry, dag: SerializedDAG, instances: list[TaskInstance]
) -> Iterator[Cause]:
    present = {instance.task_id for instance in instances}
    logical_date = entry["logical_date"]
    yield from date_limits.causes(dag, logical_date, entry["run_type"], present)
    yield from holding.of_run(session, entry["dag_id"], entry["run_after"], logical_date=logical_date)


def _held_by_the_past(session: Session, dag: SerializedDAG, instances: list[TaskInstance]) -> Iterator[str]:
    for instance in instances:
        instance.task = dag.get_task(instance.task_id)
        if not instance.task.depends_on_past:
            continue
        statuses = PrevDagrunDep().get_dep_statuses(instance, DepContext(), session=session)
        if not all(status.passed for status in statuses):
            yield instance.task_id
