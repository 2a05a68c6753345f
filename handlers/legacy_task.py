"""LegacyTask: the operations of `openapi/paths/legacy_task.yaml`."""

from __future__ import annotations

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import dag_list, rendering, task_list, triggering
from airflow_rest_api.legacy.clairvoyant import task_state as states
from airflow_rest_api.services.caller import Caller


def list_dags(call: Call, caller: Caller, report: bool) -> Json:
    """List the DAGs."""
    return call.printed(dag_list.printed(caller, report=report))


def list_tasks(call: Call, dag_id: str, tree: bool) -> Json:
    """List the tasks of a DAG."""
    return call.printed(task_list.printed_tree(dag_id) if tree else task_list.printed(dag_id))


def task_state(call: Call, dag_id: str, task_id: str, execution_date: str) -> Json:
    """Get the state of a task."""
    moment = instants.parse(execution_date, "execution_date")
    return call.printed(states.printed_state(dag_id, task_id, moment))


def task_failed_deps(call: Call, dag_id: str, task_id: str, execution_date: str) -> Json:
    """Explain what keeps a task from being started."""
    moment = instants.parse(execution_date, "execution_date")
    return call.printed(states.printed_dependencies(dag_id, task_id, moment))


def render(call: Call, caller: Caller, dag_id: str, task_id: str, execution_date: str) -> Json:
    """Render the templates of a task."""
    moment = instants.parse(execution_date, "execution_date")
    return call.printed(rendering.printed(dag_id, task_id, moment, caller=caller))


def trigger_dag(
    call: Call, caller: Caller, dag_id: str, run_id: str | None, conf: str | None, exec_date: str | None
) -> Json:
    """Trigger a DAG."""
    printed, call.run_id = triggering.printed(
        dag_id, run_id=run_id, conf=conf, exec_date=exec_date, caller=caller
    )
    return call.printed(printed)


post_list_dags = list_dags
post_list_tasks = list_tasks
post_task_state = task_state
post_task_failed_deps = task_failed_deps
post_render = render
post_trigger_dag = trigger_dag
