"""A file that never held a DAG that could be imported."""

from __future__ import annotations

from airflow.sdk import DAG

with DAG(dag_id="broken", schedule="this is no cron line"):
    pass
