"""Clearing: Clairvoyant's `clear`, which ran `airflow clear --no_confirm`."""

from __future__ import annotations

from datetime import datetime

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import task_patterns
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import task
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.task_instances import task_instance_clearing

_NOTHING = "Nothing to clear.\n"


def clear(
    call: Call,
    caller: Caller,
    *,
    dag_id: str,
    task_regex: str | None,
    dates: dict[str, str | None],
    options: dict[str, bool],
) -> Json:
    """Clear task instances of the runs between two dates, of the run at one date, or of all runs.

    As the command did, this says nothing where something was cleared. Raises `Printed` and what
    `post_clear_task_instances` raises.
    """
    body: Json | None = _bounds(dag_id, **dates)
    if body is not None and task_regex is not None:
        tasks = task.get_tasks(dag_id, order_by="task_id")["tasks"]
        named = task_patterns.matching(task_regex, [entry["task_id"] for entry in tasks])
        body = {**body, "task_ids": named} if named else None
    if body is None:
        return call.printed(_NOTHING)
    body |= _options(**options)
    found = task_instance_clearing.post_clear_task_instances(dag_id, body=body, caller=caller)
    return call.printed("" if found["task_instances"] else _NOTHING)


def _bounds(
    dag_id: str, *, start_date: str | None, end_date: str | None, execution_date: str | None
) -> Json | None:
    """Return which runs are meant, None where there are none."""
    start, end = _read(start_date, "start_date"), _read(end_date, "end_date")
    if execution_date is None:
        bounds = {"start_date": start, "end_date": end}
        return {name: date.isoformat() for name, date in bounds.items() if date is not None}
    if start is not None or end is not None:
        raise Printed("error: argument execution_date: not allowed with argument start_date or end_date")
    run_id = run_dates.run_id_at(dag_id, instants.parse(execution_date, "execution_date"))
    return None if run_id is None else {"dag_run_id": run_id}


def _read(text: str | None, argument: str) -> datetime | None:
    return None if text is None else instants.parse(text, argument)


def _options(*, upstream: bool, downstream: bool, only_failed: bool, only_running: bool) -> Json:
    return {
        "dry_run": False,
        "include_upstream": upstream,
        "include_downstream": downstream,
        "only_failed": only_failed,
        "only_running": only_running,
    }
