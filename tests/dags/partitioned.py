"""DAGs whose runs are about partitions of data: by days in a time zone, and one that asks to run on the latest."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronPartitionTimetable

with DAG(
    dag_id="partitioned",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin", key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=False,
    rerun_with_latest_version=True,
    tags=["partitions"],
):
    EmptyOperator(task_id="load")
