"""Backfills: Clairvoyant's `backfill`, which ran `airflow backfill` and waited for its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import instance_names, standstill, task_patterns
from airflow_rest_api.legacy.failures import PRINTED, Printed
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services import backfill as service
from airflow_rest_api.services import dag, task
from airflow_rest_api.services.backfills import backfill_outcome
from airflow_rest_api.services.backfills.backfill_refusals import (
    InvalidReprocessBehavior,
    NoBackfillRunsToCreate,
)
from airflow_rest_api.services.caller import Caller

Result = TypeVar("Result")

SECONDS = 300
_NO_DATES = "No run dates were found for the given dates and dag interval.\n"
_RULE = "-" * 51


@dataclass(frozen=True)
class Wish:
    """What a client has sent."""

    dag_id: str
    task_regex: str | None
    start_date: str | None
    end_date: str | None
    mark_success: bool
    ignore_dependencies: bool
    dry_run: bool


def backfill(call: Call, caller: Caller, wish: Wish) -> Json | Pending:
    """Run a DAG for the dates of its schedule between two, and return how the runs ended.

    A dry run returns the dates and the tasks. Raises `Printed`, `Denied` and what `create_backfill` raises.
    """
    body = _body(caller, wish)
    if wish.dry_run:
        return _dry_run(call, caller, body)
    try:
        return _reprocessing(partial(_begun, call, caller, is_success=wish.mark_success), body)
    except NoBackfillRunsToCreate:
        return call.printed(_NO_DATES)


def _reprocessing(begin: Callable[[Json], Result], body: Json) -> Result:
    try:
        return begin(body)
    except InvalidReprocessBehavior:
        # What depends on the past cannot leave a failed run behind: Airflow 3 demands that it runs again.
        return begin({**body, "reprocess_behavior": "failed"})


def _body(caller: Caller, wish: Wish) -> Json:
    dates = _between(wish)
    tasks: Json = {}
    if wish.task_regex is not None:
        caller.permissions.require_dag(wish.dag_id, "PUT", "TASK_INSTANCE")
        tasks = {
            "task_ids": _tasks(wish.dag_id, wish.task_regex),
            "include_upstream": not wish.ignore_dependencies,
        }
    return {"dag_id": wish.dag_id, **dates, **tasks, "max_active_runs": _at_once(wish.dag_id)}


def _between(wish: Wish) -> Json:
    """Return the two dates; one alone counts for both, as it did."""
    read = [
        instants.parse(text, name) if text else None
        for name, text in (("start_date", wish.start_date), ("end_date", wish.end_date))
    ]
    given = [date for date in read if date is not None]
    if not given:
        raise Printed("airflow.exceptions.AirflowException: Provide a start_date and/or end_date")
    start, end = given[0], given[-1]
    if end < start:
        raise Printed("error: argument end_date: lies before start_date")
    return {"from_date": start.isoformat(), "to_date": end.isoformat()}


def _at_once(dag_id: str) -> int:
    """Return how many runs the DAG's author lets go on at once, which the old command kept to."""
    found: int = dag.get_dag(dag_id).answer["max_active_runs"]
    return found


def _tasks(dag_id: str, task_regex: str) -> list[str]:
    named = task_patterns.chosen(dag_id, task_regex)
    if not named:
        raise Printed(f"There are no tasks that match '{task_regex}' regex. Nothing to run, exiting...")
    return named


def _dry_run(call: Call, caller: Caller, body: Json) -> Json:
    """Return the text of `airflow backfill --dry_run`: the DAG with its date, and its tasks.

    The command of Airflow 1 printed the first date alone, whether or not a run was possible. Here each date that a
    backfill would run has a line; where there is none, the first date has, and ``stderr`` the reason.
    """
    plan, reason = _plan(caller, body)
    dates = [(run["logical_date"] or run["partition_date"]).isoformat() for run in plan["backfills"]]
    lines = [f"Dry run of DAG {body['dag_id']} on {date}" for date in dates or [body["from_date"]]]
    lines += [f"Task {task_id}" for task_id in _planned_tasks(caller, body, plan)]
    return call.printed("".join(f"{line}\n" for line in lines), reason)


def _plan(caller: Caller, body: Json) -> tuple[Json, str]:
    """Return what a backfill would do, and the reason if it would do nothing."""
    try:
        plan = _reprocessing(partial(_dry_backfill, caller), body)
    except PRINTED as fault:
        return {"backfills": []}, fault.detail
    return plan, "" if plan["backfills"] else _NO_DATES.strip()


def _dry_backfill(caller: Caller, body: Json) -> Json:
    return service.create_backfill_dry_run(body=body, caller=caller)


def _planned_tasks(caller: Caller, body: Json, plan: Json) -> list[str]:
    if "task_ids" in body:
        chosen: list[str] = plan.get("selection", body)["task_ids"]
        return chosen
    if not caller.permissions.may_dag(body["dag_id"], "GET", "TASK"):
        return []
    return [entry["task_id"] for entry in task.get_tasks(body["dag_id"], order_by="task_id")["tasks"]]


def _begun(call: Call, caller: Caller, body: Json, *, is_success: bool) -> Json | Pending:
    number = service.create_backfill(body=body, caller=caller, is_success=is_success)["id"]
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
