"""Tasks that wait for one thing or another for as long as somebody wants to look."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG

with DAG("held", schedule=None, max_active_runs=1):
    slow = BashOperator(task_id="slow", bash_command="sleep 120")
    fails = BashOperator(task_id="fails", bash_command="exit 1")
    slow >> EmptyOperator(task_id="after")
    [slow, fails] >> EmptyOperator(task_id="needs_one", trigger_rule="one_success")
    BashOperator(task_id="pooled", bash_command="true", pool="explained")
    BashOperator(task_id="tried", bash_command="exit 1", retries=1, retry_delay=timedelta(minutes=5))
    TimeDeltaSensor(task_id="deferred", delta=timedelta(hours=1), deferrable=True)

with DAG("narrow", schedule=None, max_active_tasks=1):
    BashOperator(task_id="first", bash_command="sleep 120", priority_weight=2)
    BashOperator(task_id="second", bash_command="true", max_active_tis_per_dag=1)

with DAG("crowd", schedule=None):
    BashOperator(task_id="first", bash_command="sleep 120", pool="crowded", priority_weight=2)
    BashOperator(task_id="second", bash_command="true", pool="crowded")
