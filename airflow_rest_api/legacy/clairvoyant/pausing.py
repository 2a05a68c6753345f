"""Pausing: `pause` and `unpause`."""

from __future__ import annotations

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.services import dag
from airflow_rest_api.services.states import UNCONDITIONAL


def set_paused(call: Call, dag_id: str, *, is_paused: bool) -> Json:
    """Pause a DAG or let it run, and print what it is now."""
    dag.patch_dag(dag_id, is_paused=is_paused, precondition=UNCONDITIONAL)
    return call.printed(f"Dag: {dag_id}, paused: {is_paused}\n")
