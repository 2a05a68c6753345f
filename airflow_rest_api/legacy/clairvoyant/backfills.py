"""Backfills: Clairvoyant's `backfill`, which ran `airflow backfill` and waited for its end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import instance_names, standstill, task_patterns
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services import backfill as service
from airflow_rest_api.services import dag, task
from airflow_rest_api.services.backfills import backfill_outcome
from airflow_rest_api.services.backfills.backfill_refusals import (
    InvalidReprocessBehavior,
    NoBackfillRunsToCreate,
)
from airflow_rest_api.services.caller import Caller

SECONDS = 300
_NO_DATES = "No run dates were found for the given dates and dag interval.\n"
_RULE = "-" * 51


def backfill(
    call: Call,
    caller: Caller,
    *,
    dag_id: str,
    dates: dict[str, str | None],
    task_regex: str | None,
    ignore_dependencies: bool,
    mark_success: bool,
    dry_run: bool,
) -> Json | Pending:
    """Run a DAG for the dates of its schedule between two, and answer how the runs ended; a dry run names the dates.

    Raises `Printed`, `Denied` and what `create_backfill` raises.
    """
    if mark_success:
        raise Printed(
            "error: argument mark_success: a backfill of Airflow 3 runs its tasks; nothing was done. "
            "Use patch_dag_run for runs that are there."
        )
    body = {"dag_id": dag_id, **_between(**dates), "max_active_runs": _at_once(dag_id)}
    if task_regex is not None:
        caller.permissions.require_dag(dag_id, "PUT", "TASK_INSTANCE")
        body |= {"task_ids": _tasks(dag_id, task_regex), "include_upstream": not ignore_dependencies}
    try:
        return _planned(call, caller, body) if dry_run else _begun(call, caller, body)
    except NoBackfillRunsToCreate:
        return call.printed(_NO_DATES)
    except InvalidReprocessBehavior:
        # What depends on the past cannot leave a failed run behind: Airflow 3 demands that it runs again.
        body["reprocess_behavior"] = "failed"
        return _planned(call, caller, body) if dry_run else _begun(call, caller, body)


def _between(*, start_date: str | None, end_date: str | None) -> Json:
    """Return the two dates; one alone counts for both, as it did."""
    if not (start_date or end_date):
        raise Printed("airflow.exceptions.AirflowException: Provide a start_date and/or end_date")
    first = instants.parse(start_date, "start_date") if start_date else None
    last = instants.parse(end_date, "end_date") if end_date else None
    start, end = first or last, last or first
    assert start is not None
    assert end is not None
    if end < start:
        raise Printed("error: argument end_date: lies before start_date")
    return {"from_date": start.isoformat(), "to_date": end.isoformat()}


def _at_once(dag_id: str) -> int:
    """Return how many runs the DAG's author lets go on at once, which the old command kept to."""
    found: int = dag.get_dag(dag_id).answer["max_active_runs"]
    return found


def _tasks(dag_id: str, task_regex: str) -> list[str]:
    every = task.get_tasks(dag_id, order_by="task_id")["tasks"]
    named = task_patterns.matching(task_regex, [entry["task_id"] for entry in every])
    if not named:
        raise Printed(f"There are no tasks that match '{task_regex}' regex. Nothing to run, exiting...")
    return named


def _planned(call: Call, caller: Caller, body: Json) -> Json:
    plan = service.create_backfill_dry_run(body=body, caller=caller)
    dates = [run["logical_date"] or run["partition_date"] for run in plan["backfills"]]
    lines = [f"Dry run of DAG {body['dag_id']} on {date.isoformat()}" for date in dates]
    lines += [f"Task {task_id}" for task_id in plan.get("selection", {}).get("task_ids", ())]
    return call.printed("".join(f"{line}\n" for line in lines) if dates else _NO_DATES)


def _begun(call: Call, caller: Caller, body: Json) -> Pending:
    number = service.create_backfill(body=body, caller=caller)["id"]
    terminal = (backfill_outcome.COMPLETED,)
    return Pending("backfill", (number,), terminal, SECONDS, partial(_told, call, number))


def _told(call: Call, number: int) -> Json:
    found = backfill_outcome.outcome(number)
    progress = found["progress"]
    lines = [_progress(progress)]
    if not progress["left"]:
        lines.append("Backfill done. Exiting.")
    return call.printed("".join(f"{line}\n" for line in lines), "\n".join(_troubles(found)))


def _progress(progress: Json) -> str:
    made = progress["total"] - progress["skipped"]
    counts = {
        "running": progress["running"],
        "succeeded": progress["success"],
        "failed": progress["failed"],
        "skipped": progress["skipped"],
    }
    told = " | ".join(f"{name}: {count}" for name, count in counts.items())
    return f"[backfill progress] | finished run {made - progress['left']} of {made} | {told}"


def _troubles(found: Json) -> Iterator[str]:
    progress = found["progress"]
    if found["failed"]:
        yield from (_RULE, "Some task instances failed:")
        for entry in found["failed"]:
            date = entry["logical_date"] or entry["run_id"]
            yield instance_names.of(found["dag_id"], entry["task_id"], date, entry["state"])
    elif progress["failed"]:
        yield f"Of the runs {progress['failed']} failed without a failed task."
    if progress["left"]:
        yield (
            f"The backfill {found['id']} goes on: {progress['left']} of its runs have not ended. "
            f"get_backfill tells how far it is, cancel_backfill ends it.{standstill.hint(found['dag_id'])}"
        )
