"""The DAG that eBay's manual speaks of."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("dag_test", schedule=None, is_paused_upon_creation=False, max_active_runs=100) as dag:
    first, *others = (EmptyOperator(task_id=f"task_test{end}") for end in ("", "_2", "_3", "_4", "_5", "_6"))
    first >> others[0] >> others[1:3] >> others[3] >> others[4]
