"""Resetting: clearing the task instances of many runs as Airflow does, with few statements for all of them.

`airflow.models.taskinstance.clear_task_instances` asks the database some seven times for each instance and run. What
is usual is done here for all at once; runs with anything unusual are left to Airflow. A test compares the rows that
either leaves behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow._shared.observability.traces import (
    TASK_SPAN_DETAIL_LEVEL_KEY,
    new_dagrun_trace_carrier,
    new_task_run_carrier,
)
from airflow._shared.timezones import timezone
from airflow.models.dagrun import DagRun, dagrun_trace_attributes
from airflow.models.deadline import Deadline
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance, clear_task_instances, uuid7
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

RunName = tuple[str, str]

_KEY = (
    TaskInstanceHistory.dag_id,
    TaskInstanceHistory.run_id,
    TaskInstanceHistory.task_id,
    TaskInstanceHistory.map_index,
    TaskInstanceHistory.try_number,
)


def reset(
    session: Session,
    instances: Mapping[RunName, Sequence[TaskInstance]],
    dags: Mapping[RunName, SerializedDAG],
    *,
    run_on_latest_version: bool,
) -> None:
    """Clear the instances, which are locked with their runs, and queue the runs that have ended.

    ``dags`` are the structures that the runs go on with.
    """
    every = [instance for found in instances.values() for instance in found]
    runs = {(instance.dag_id, instance.run_id): instance.dag_run for instance in every}
    if run_on_latest_version or _is_unusual(session, every, runs.values()):
        clear_task_instances(every, session, DagRunState.QUEUED, run_on_latest_version=run_on_latest_version)
        return
    _keep_tries(session, every)
    for instance in every:
        _clear(instance, dags[instance.dag_id, instance.run_id])
    for run in runs.values():
        _queue(run)
    for instance in every:
        instance.context_carrier = new_task_run_carrier(instance.dag_run.context_carrier)
    session.flush()


def _is_unusual(session: Session, instances: Sequence[TaskInstance], runs: Collection[DagRun]) -> bool:
    """Tell whether something is to be seen to that Airflow sees to: versions, deadlines, questions to people."""
    names = [(run.dag_id, run.run_id) for run in runs]
    if any(run.created_dag_version_id is None for run in runs):
        return True
    without_version = select(TaskInstance.id).where(
        tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(names), TaskInstance.dag_version_id.is_(None)
    )
    deadlines = select(Deadline.id).where(Deadline.dagrun_id.in_([run.id for run in runs]))
    questions = select(HITLDetail.ti_id).where(HITLDetail.ti_id.in_([instance.id for instance in instances]))
    return any(session.execute(found.limit(1)).first() for found in (without_version, deadlines, questions))


def _keep_tries(session: Session, instances: Sequence[TaskInstance]) -> None:
    """Move the present tries to the history, but for those that are in there."""
    names = {(instance.dag_id, instance.run_id) for instance in instances}
    kept = select(*_KEY).where(
        tuple_(TaskInstanceHistory.dag_id, TaskInstanceHistory.run_id).in_(sorted(names))
    )
    known = {tuple(row) for row in session.execute(kept)}
    for instance in instances:
        if tuple(getattr(instance, column.key) for column in _KEY) not in known:
            session.add(_try(instance))
    ids = [instance.id for instance in instances]
    session.execute(delete(TaskReschedule).where(TaskReschedule.ti_id.in_(ids)))
    for instance in instances:
        instance.id = uuid7()


def _try(instance: TaskInstance) -> TaskInstanceHistory:
    if instance.state in State.finished:
        return TaskInstanceHistory(instance, state=instance.state)
    if instance.end_date is None:
        instance.end_date = timezone.utcnow()
        instance.set_duration()
    return TaskInstanceHistory(instance, state=TaskInstanceState.FAILED)


def _clear(instance: TaskInstance, dag: SerializedDAG) -> None:
    if instance.state == TaskInstanceState.RUNNING:
        # Its process is ended at its next heartbeat, and then it is queued again.
        instance.state = TaskInstanceState.RESTARTING
        return
    task: Any = dag.get_task(instance.task_id)
    instance.refresh_from_task(task, dag_run=instance.dag_run)
    instance.max_tries = instance.try_number + task.retries
    instance.state = None
    instance.external_executor_id = None
    instance.clear_next_method_args()


def _queue(run: DagRun) -> None:
    run.clear_number += 1
    run.queued_at = timezone.utcnow()
    level = run.conf.get(TASK_SPAN_DETAIL_LEVEL_KEY) if run.conf else None
    run.context_carrier = new_dagrun_trace_carrier(
        task_span_detail_level=level, attributes=dagrun_trace_attributes(run)
    )
    if run.state in State.finished_dr_states:
        run.state = DagRunState.QUEUED
        run.last_scheduling_decision = None
        run.start_date = None
