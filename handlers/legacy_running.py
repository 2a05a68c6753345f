"""LegacyRunning: the operations of `openapi/paths/legacy_running.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import backfills, clearing, task_running, task_testing
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller


def run(call: Call, caller: Caller, **sent: Any) -> Json | Pending:
    """Run a task of the run at a date."""
    return task_running.run(call, caller, task_running.Wish(**sent))


def test(call: Call, caller: Caller, background: Background, **sent: Any) -> Json | Pending:
    """Test a task."""
    return task_testing.test(call, caller, background, task_testing.Wish(**sent))


def backfill(call: Call, caller: Caller, **sent: Any) -> Json | Pending:
    """Run a DAG for dates in the past."""
    return backfills.backfill(call, caller, backfills.Wish(**sent))


def clear(call: Call, caller: Caller, **sent: Any) -> Json:
    """Clear task instances by dates."""
    return clearing.clear(call, caller, clearing.Wish(**sent))


post_run = run
post_test = test
post_backfill = backfill
post_clear = clear
