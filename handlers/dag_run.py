"""DagRun: the operations of `openapi/paths/dag_run.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import dag_run as service
from airflow_rest_api.services import kill
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import dag_run_restart, dag_runs_restart

Json = dict[str, Any]


def get_dag_runs(dag_id: str, caller: Caller, **query: Any) -> Json:
    """List the runs of a DAG."""
    return service.get_dag_runs(dag_id, query=query, caller=caller)


def trigger_dag_run(dag_id: str, body: Json, dry_run: bool, caller: Caller) -> Json:
    """Trigger a run of a DAG."""
    return service.trigger_dag_run(dag_id, body=body, caller=caller, dry_run=dry_run)


def bulk_dag_runs(dag_id: str, body: Json, caller: Caller) -> Json:
    """Change or delete many runs."""
    return service.bulk_dag_runs(dag_id, body=body, caller=caller)


def get_list_dag_runs_batch(dag_id: str, body: Json, caller: Caller) -> Json:  # noqa: ARG001 - always `~`
    """List runs of all DAGs by a body of filters."""
    return service.get_list_dag_runs_batch(body=body, caller=caller)


def get_dag_run(dag_id: str, dag_run_id: str, explain: bool, caller: Caller) -> Json:
    """Get a run of a DAG."""
    return service.get_dag_run(dag_id, dag_run_id, explain=explain, caller=caller)


def patch_dag_run(
    dag_id: str, dag_run_id: str, update_mask: list[str] | None, body: Json, caller: Caller
) -> Json:
    """Change the state or the note of a run."""
    return service.patch_dag_run(dag_id, dag_run_id, update_mask=update_mask, body=body, caller=caller)


def delete_dag_run(dag_id: str, dag_run_id: str) -> None:
    """Delete a run."""
    service.delete_dag_run(dag_id, dag_run_id)


def clear_dag_run(dag_id: str, dag_run_id: str, body: Json, caller: Caller) -> Json:
    """Clear a run so that it runs again."""
    return service.clear_dag_run(dag_id, dag_run_id, body=body, caller=caller)


def clear_dag_runs(dag_id: str, body: Json, caller: Caller) -> Json:
    """Clear several runs so that they run again."""
    return service.clear_dag_runs(dag_id, body=body, caller=caller)


def restart_failed_tasks(dag_id: str, dag_run_id: str, dry_run: bool) -> Json:
    """Restart the failed tasks of a run."""
    return dag_run_restart.restart_failed_tasks(dag_id, dag_run_id, dry_run=dry_run)


def restart_failed_dag_runs(body: Json, dry_run: bool, caller: Caller, background: Background) -> Json:
    """Restart the failed tasks of many runs."""
    return dag_runs_restart.restart_failed_dag_runs(
        body=body, dry_run=dry_run, caller=caller, background=background
    )


def kill_dag_run(
    dag_id: str, dag_run_id: str, body: Json, caller: Caller, background: Background, **query: Any
) -> Json:
    """Kill a run."""
    return kill.kill_dag_run(dag_id, dag_run_id, query=query, body=body, caller=caller, background=background)


def kill_dag_runs(body: Json, caller: Caller, background: Background, **query: Any) -> Json:
    """Kill runs by a selector."""
    return kill.kill_dag_runs(query=query, body=body, caller=caller, background=background)
