"""Files that change: the seed parses this folder twice, first with TEST_DAGS_GENERATION=1, then without it."""

from __future__ import annotations

import os

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(dag_id="versioned", schedule=None, is_paused_upon_creation=False, tags=["changes"]) as dag:
    old = EmptyOperator(task_id="old_task") if os.environ.get("TEST_DAGS_GENERATION") == "1" else None
    EmptyOperator(task_id="new_task" if old is None else "first_task")
    EmptyOperator(task_id="kept_task")

if os.environ.get("TEST_DAGS_GENERATION") == "1":
    with DAG(dag_id="removed", schedule=None, tags=["gone"]):
        EmptyOperator(task_id="only")
