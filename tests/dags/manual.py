"""Small DAGs without a schedule: what tests make runs of."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

with DAG(dag_id="manual", schedule=None, is_paused_upon_creation=False, max_active_runs=100, tags=["fresh"]):
    first, second, third = (EmptyOperator(task_id=name) for name in ("first", "second", "third"))
    first >> second >> third
    EmptyOperator(task_id="alone")

with DAG(dag_id="manual_paused", schedule=None, max_active_runs=100):
    EmptyOperator(task_id="only")

with DAG(
    dag_id="needs_params",
    schedule=None,
    is_paused_upon_creation=False,
    params={"count": Param(type="integer", minimum=1), "name": Param("x", type="string", maxLength=5)},
):
    EmptyOperator(task_id="only")

with DAG(dag_id="torn_down", schedule=None, is_paused_upon_creation=False, max_active_runs=100):
    build, use, clean = (EmptyOperator(task_id=name) for name in ("build", "use", "clean"))
    build >> use >> clean.as_teardown(setups=build)
