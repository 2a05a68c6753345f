"""DAGs with a daily schedule that ended long ago: nothing runs unless somebody backfills it."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, get_current_context, task

OLD = {
    "schedule": "@daily",
    "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "end_date": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "catchup": False,
}


@task(retries=0)
def fail_at_first_on_even_days():
    context = get_current_context()
    if context["logical_date"].day % 2 == 0 and context["ti"].try_number == 1:
        raise ValueError("the first try fails on even days")


@task
def take_time():
    time.sleep(2)


for name in ("backfilled", "backfilled_once"):
    with DAG(name, **OLD):
        EmptyOperator(task_id="first") >> EmptyOperator(task_id="last")

with DAG("backfilled_slowly", **OLD):
    take_time()

with DAG("backfilled_again", **OLD):
    fail_at_first_on_even_days()

with DAG("backfilled_by_command", **OLD):
    EmptyOperator(task_id="before") >> fail_at_first_on_even_days()

with DAG("backfilled_partly", **OLD):
    EmptyOperator(task_id="before") >> fail_at_first_on_even_days() >> EmptyOperator(task_id="after")
