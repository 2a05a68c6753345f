"""LegacyRun: the operations of `openapi/paths/legacy_run.yaml`."""

from __future__ import annotations

from airflow_rest_api.legacy.calls import EBAY, Call, Json
from airflow_rest_api.legacy.clairvoyant import dag_state as clairvoyants
from airflow_rest_api.legacy.ebay import dag_run, task_instance
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller


def dag_state(
    call: Call, dag_id: str, run_id: str | None, execution_date: str | None, caller: Caller
) -> Json:
    """Get the state of a run."""
    # The frame has seen to it that the argument of the dialect is there.
    if call.dialect == EBAY:
        return dag_run.dag_state(call, dag_id, run_id or "", caller)
    return clairvoyants.dag_state(call, dag_id, execution_date or "", caller)


def task_instance_detail(call: Call, dag_id: str, run_id: str, task_id: str, caller: Caller) -> Json:
    """Get how a task of a run stands."""
    return task_instance.task_instance_detail(call, dag_id, run_id, task_id, caller)


def restart_failed_task(call: Call, dag_id: str, run_id: str) -> Json:
    """Restart the failed tasks of a run."""
    return dag_run.restart_failed_task(call, dag_id, run_id)


def kill_running_tasks(
    call: Call, dag_id: str, run_id: str, task_id: str | None, caller: Caller, background: Background
) -> Json:
    """Kill the running tasks of a run."""
    return task_instance.kill_running_tasks(call, dag_id, run_id, task_id, caller, background)


def run_task_instance(
    call: Call, dag_id: str, run_id: str, tasks: str, conf: str | None, caller: Caller
) -> Json:
    """Run some tasks of a DAG in a run of their own."""
    return dag_run.run_task_instance(call, dag_id, run_id, tasks, conf, caller)


def skip_task_instance(call: Call, dag_id: str, run_id: str, task_id: str) -> Json:
    """Skip a task of a run."""
    return task_instance.skip_task_instance(call, dag_id, run_id, task_id)


post_dag_state = dag_state
post_task_instance_detail = task_instance_detail
post_restart_failed_task = restart_failed_task
post_kill_running_tasks = kill_running_tasks
post_run_task_instance = run_task_instance
post_skip_task_instance = skip_task_instance
