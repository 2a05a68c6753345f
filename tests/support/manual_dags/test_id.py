"""The DAG that Clairvoyant's manual triggers."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("test_id", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    EmptyOperator(task_id="only")
