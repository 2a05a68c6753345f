"""Clearing: Clairvoyant's `clear`, which ran `airflow clear --no_confirm`."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import task_patterns
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.task_instances import task_instance_clearing

_NOTHING = "Nothing to clear.\n"


@dataclass(frozen=True)
class Wish:
    """What a client has sent."""

    dag_id: str
    execution_date: str | None
    start_date: str | None
    end_date: str | None
    task_regex: str | None
    upstream: bool
    downstream: bool
    only_failed: bool
    only_running: bool


def clear(call: Call, caller: Caller, wish: Wish) -> Json:
    """Clear task instances of the runs between two dates, of the run at one date, or of all runs.

    As the command did, this says nothing where something was cleared. Raises `Printed` and what
    `post_clear_task_instances` raises.
    """
    runs = _runs(wish)
    tasks = None if runs is None else _tasks(wish)
    if runs is None or tasks is None:
        return call.printed(_NOTHING)
    body = {
        **runs,
        **tasks,
        "dry_run": False,
        "include_upstream": wish.upstream,
        "include_downstream": wish.downstream,
        "only_failed": wish.only_failed,
        "only_running": wish.only_running,
    }
    call.run_id = runs.get("dag_run_id")
    found = task_instance_clearing.post_clear_task_instances(wish.dag_id, body=body, caller=caller)
    return call.printed("" if found["task_instances"] else _NOTHING)


def _runs(wish: Wish) -> Json | None:
    """Return which runs are meant, None where there are none."""
    dates = {
        name: instants.parse(text, name)
        for name, text in (("start_date", wish.start_date), ("end_date", wish.end_date))
        if text is not None
    }
    if wish.execution_date is None:
        return {name: date.isoformat() for name, date in dates.items()}
    if dates:
        raise Printed("error: argument execution_date: not allowed with argument start_date or end_date")
    run_id = run_dates.run_id_at(wish.dag_id, instants.parse(wish.execution_date, "execution_date"))
    return None if run_id is None else {"dag_run_id": run_id}


def _tasks(wish: Wish) -> Json | None:
    """Return which tasks are meant, None where there are none."""
    if wish.task_regex is None:
        return {}
    named = task_patterns.chosen(wish.dag_id, wish.task_regex)
    return {"task_ids": named} if named else None
