"""DAG: the operations of `openapi/paths/dag.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import dag as service
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_deletion, dag_refresh
from airflow_rest_api.services.states import Precondition, Stated

Json = dict[str, Any]


def get_dags(caller: Caller, **query: Any) -> Json:
    """List DAGs."""
    return service.get_dags(query=query, caller=caller)


def patch_dags(caller: Caller, body: Json, **query: Any) -> Json:
    """Pause or unpause DAGs."""
    return service.patch_dags(query=query, is_paused=body["is_paused"], caller=caller)


def get_dag(dag_id: str) -> Stated:
    """Get a DAG."""
    return service.get_dag(dag_id)


def patch_dag(dag_id: str, body: Json, precondition: Precondition, **_mask: Any) -> Stated:
    """Pause or unpause a DAG."""
    # The contract has checked the mask: it can name no other field than the one of the body.
    return service.patch_dag(dag_id, is_paused=body["is_paused"], precondition=precondition)


def delete_dag(dag_id: str, delete_file: bool, precondition: Precondition, caller: Caller) -> None:
    """Delete a DAG."""
    dag_deletion.delete_dag(dag_id, delete_file=delete_file, precondition=precondition, caller=caller)


def get_dag_details(dag_id: str, caller: Caller) -> Json:
    """Get the details of a DAG."""
    return service.get_dag_details(dag_id, caller=caller)


def refresh_dag(dag_id: str, dry_run: bool, caller: Caller, background: Background) -> Json:
    """Refresh a DAG."""
    return dag_refresh.refresh_dag(dag_id, dry_run=dry_run, caller=caller, background=background)


def refresh_all_dags(dry_run: bool, caller: Caller, background: Background) -> Json:
    """Refresh all DAGs."""
    return dag_refresh.refresh_all_dags(dry_run=dry_run, caller=caller, background=background)
