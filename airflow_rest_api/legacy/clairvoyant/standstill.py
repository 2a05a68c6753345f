"""Standstill: why what an old command began may not go on, although the command itself would have."""

from __future__ import annotations

from airflow_rest_api.services import dag


def hint(dag_id: str) -> str:
    """Return a sentence, after a space, where the DAG is paused: Airflow 1 ran its tasks all the same."""
    if dag.get_dag(dag_id).answer["is_paused"]:
        return f" Nothing is started as long as the DAG '{dag_id}' is paused."
    return ""
