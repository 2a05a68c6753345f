"""Task state: what `airflow task_state` and `airflow task_failed_deps` printed of a task at a date."""

from __future__ import annotations

from datetime import datetime

from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import errors, task, task_instance
from airflow_rest_api.services.explaining import task_instance_dependencies as dependencies
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.task_instances import telling_task_instance

_NO_RUN = "Dagrun Running: Task instance's dagrun did not exist: Unknown reason."


def require_task(dag_id: str, task_id: str, stdout: str = "") -> None:
    """Raise `Printed` unless the DAG has the task."""
    try:
        task.get_task(dag_id, task_id)
    except errors.TaskNotFound:
        raise Printed(f"Task {task_id} not found", stdout) from None


def printed_state(dag_id: str, task_id: str, moment: datetime) -> str:
    """Return the state of the task in the run of this date, `None` where there is none.

    Raises `Printed` where the DAG has no such task.
    """
    run_id = run_dates.run_id_at(dag_id, moment)
    states = task_instance.get_states(dag_id, run_id, task_id) if run_id else set()
    if not states:
        require_task(dag_id, task_id, stdout="None\n")
    return f"{telling_task_instance.telling_state(states)}\n"


def printed_dependencies(dag_id: str, task_id: str, moment: datetime) -> str:
    """Return what the task waits for in the run of this date.

    Raises `Printed` where the DAG has no such task, `TaskInstanceNotFound` where the run has none.
    """
    run_id = run_dates.run_id_at(dag_id, moment)
    if run_id is None:
        require_task(dag_id, task_id)
        return _unmet([_NO_RUN])
    try:
        found = dependencies.get_task_instance_dependencies(dag_id, run_id, task_id, of_any_state=True)
    except errors.TaskInstanceNotFound:
        require_task(dag_id, task_id)
        raise
    return _unmet([f"{unmet['name']}: {unmet['reason']}" for unmet in found["dependencies"]])


def _unmet(lines: list[str]) -> str:
    if not lines:
        return "Task instance dependencies are all met.\n"
    return "\n".join(["Task instance dependencies not met:", *lines, ""])
