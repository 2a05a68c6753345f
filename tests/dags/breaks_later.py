"""A DAG that was fine once: it has a row in the database and an import error."""

from __future__ import annotations

import os

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

if os.environ.get("TEST_DAGS_GENERATION") != "1":
    raise RuntimeError("This file broke after it had been parsed.")

with DAG(dag_id="breaks_later", schedule="@daily", tags=["broken"]):
    EmptyOperator(task_id="only")

with DAG(dag_id="breaks_and_stays", schedule=None):
    EmptyOperator(task_id="only")
