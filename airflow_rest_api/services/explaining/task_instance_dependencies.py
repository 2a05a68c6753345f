"""Dependencies of task instances: what Airflow itself names when it is asked why a task instance does not start."""

from __future__ import annotations

from typing import Any

from airflow.exceptions import TaskNotFound
from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.dependencies_deps import SCHEDULER_QUEUED_DEPS
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE, Entry


def get_task_instance_dependencies(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int = -1, *, of_any_state: bool = False
) -> Entry:
    """Tell what keeps the scheduler from starting a task instance; raises `TaskInstanceNotFound`.

    Only an instance without a state, or one that is scheduled, waits for anything; one ``of_any_state`` is told
    what Airflow's command line tells, of which its state is a part.
    """
    wanted = select(TaskInstance).where(
        *place.of_task(dag_id, dag_run_id, task_id), TASK_INSTANCE.c.map_index == map_index
    )
    with unit_of_work() as session:
        instance = session.scalar(wanted)
        if instance is None:
            raise errors.TaskInstanceNotFound(dag_id, dag_run_id, task_id, map_index)
        waits = of_any_state or instance.state in (None, TaskInstanceState.SCHEDULED)
        unmet = _unmet(session, instance) if waits else []
        # The caller only looks, but some of Airflow's dependencies set the state of the task that they look at.
        session.rollback()
    return {"dependencies": sorted(unmet, key=lambda dependency: dependency["name"])}


def _unmet(session: Session, instance: TaskInstance) -> list[dict[str, Any]]:
    try:
        dag = place.structure_for_scheduling(session, instance.dag_id, instance.run_id)
        instance.task = dag.get_task(instance.task_id)
    except (errors.DagNotFound, TaskNotFound):
        return []
    context = DepContext(SCHEDULER_QUEUED_DEPS)
    return [
        {"name": status.dep_name, "reason": status.reason}
        for status in instance.get_failed_dep_statuses(dep_context=context, session=session)
    ]
