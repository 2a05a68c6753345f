"""LegacyRunning: the operations of `openapi/paths/legacy_running.yaml`."""

from __future__ import annotations

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import backfills, clearing, task_running, task_testing
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller


def run(
    call: Call,
    caller: Caller,
    dag_id: str,
    task_id: str,
    execution_date: str,
    *,
    mark_success: bool,
    **options: bool,
) -> Json | Pending:
    """Run a task of the run at a date."""
    date = instants.parse(execution_date, "execution_date")
    place = task_running.Place(call, caller, dag_id, task_id, date)
    return task_running.run(place, mark_success=mark_success, force=task_running.Force.of(options))


def test(
    call: Call,
    caller: Caller,
    background: Background,
    dag_id: str,
    task_id: str,
    *,
    execution_date: str,
    dry_run: bool,
    task_params: str | None,
) -> Json | Pending:
    """Test a task."""
    return task_testing.test(
        call,
        caller,
        background,
        dag_id=dag_id,
        task_id=task_id,
        execution_date=execution_date,
        dry_run=dry_run,
        task_params=task_params,
    )


def backfill(
    call: Call,
    caller: Caller,
    dag_id: str,
    *,
    task_regex: str | None,
    start_date: str | None,
    end_date: str | None,
    **options: bool,
) -> Json | Pending:
    """Run a DAG for dates in the past."""
    dates = {"start_date": start_date, "end_date": end_date}
    return backfills.backfill(call, caller, dag_id=dag_id, dates=dates, task_regex=task_regex, **options)


def clear(
    call: Call,
    caller: Caller,
    dag_id: str,
    *,
    task_regex: str | None,
    start_date: str | None,
    end_date: str | None,
    execution_date: str | None,
    **options: bool,
) -> Json:
    """Clear task instances so that they run again."""
    dates = {"start_date": start_date, "end_date": end_date, "execution_date": execution_date}
    return clearing.clear(call, caller, dag_id=dag_id, task_regex=task_regex, dates=dates, options=options)


post_run = run
post_test = test
post_backfill = backfill
post_clear = clear
