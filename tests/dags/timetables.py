"""Schedules that are more than a cron line, and a DAG that people may not trigger."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, DeltaDataIntervalTimetable

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG(
    dag_id="by_trigger_timetable",
    schedule=CronTriggerTimetable("0 6 * * MON", timezone="UTC", interval=timedelta(days=7)),
    start_date=START,
    catchup=False,
):
    EmptyOperator(task_id="only")

with DAG(
    dag_id="by_delta",
    schedule=DeltaDataIntervalTimetable(timedelta(hours=3)),
    start_date=START,
    catchup=True,
    tags=["nightly"],
):
    EmptyOperator(task_id="only")

with DAG(
    dag_id="scheduler_only",
    schedule="@daily",
    start_date=START,
    catchup=False,
    allowed_run_types=["scheduled", "backfill"],
):
    EmptyOperator(task_id="only")
