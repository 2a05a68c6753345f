"""A DAG with everything that a description may hold: owners, links, groups, rules, templates, a time zone."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, TaskGroup

with DAG(
    dag_id="etl",
    dag_display_name="Warehouse ETL",
    description="Loads the warehouse every night.",
    schedule="30 2 * * 1-5",
    start_date=pendulum.datetime(2025, 12, 1, tz="Europe/Berlin"),
    end_date=pendulum.datetime(2036, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=4,
    max_active_tasks=8,
    max_consecutive_failed_dag_runs=3,
    is_paused_upon_creation=False,
    render_template_as_native_obj=True,
    default_args={"owner": "warehouse", "retries": 2, "retry_delay": timedelta(minutes=1)},
    owner_links={"warehouse": "https://example.com/warehouse", "platform": "mailto:platform@example.com"},
    tags=["nightly", "warehouse"],
    params={
        "limit": Param(10, type="integer", minimum=1, description="How many rows."),
        "mode": Param("full", type="string", enum=["full", "delta"]),
    },
    doc_md="# Warehouse\n\nLoads *everything*.",
) as dag:
    start = EmptyOperator(task_id="start", owner="platform")
    with TaskGroup("load", tooltip="One task per table.") as load:
        orders = BashOperator(
            task_id="orders",
            bash_command="echo {{ params.limit }}",
            env={"MODE": "{{ params.mode }}"},
            pool_slots=2,
            priority_weight=3,
            execution_timeout=timedelta(minutes=5),
            retry_exponential_backoff=True,
            max_retry_delay=timedelta(hours=1),
            doc_md="Orders.",
        )
        customers = BashOperator(task_id="customers", bash_command="echo customers", queue="slow")
    check = EmptyOperator(task_id="check", trigger_rule="none_failed_min_one_success", depends_on_past=True)
    report = EmptyOperator(task_id="report", trigger_rule="all_done", task_display_name="Nightly report")
    start >> load >> check >> report
