"""Task running: Clairvoyant's `run`, which ran `airflow run` and waited for its end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import instance_names, standstill
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services import dag_run, task, task_instance
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.task_instances import task_instance_changes as changes
from airflow_rest_api.services.task_instances import task_instance_running as running

SECONDS = 300
# The old command made one try: one that failed and has others before it is an end, too.
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed", "up_for_retry")
_RUN_ENDED = ("success", "failed")
# In these the old command left a task alone unless it was forced.
_DONE = ("success", "failed", "skipped", "upstream_failed", "removed")
_PAST = "Previous Dagrun State"


@dataclass(frozen=True)
class Wish:
    """What a client has sent."""

    dag_id: str
    task_id: str
    execution_date: str
    mark_success: bool
    force: bool
    ignore_all_dependencies: bool
    ignore_dependencies: bool
    ignore_depends_on_past: bool

    @property
    def any_state(self) -> bool:
        """Whether a task that has ended is to run again."""
        return self.force or self.ignore_all_dependencies

    @property
    def any_dependency(self) -> bool:
        """Whether the task is to run whatever it waits for."""
        return self.ignore_dependencies or self.ignore_all_dependencies


@dataclass(frozen=True)
class Place:
    """A task at a date, and the caller who is to be answered."""

    call: Call
    caller: Caller
    dag_id: str
    task_id: str
    date: datetime

    def named(self, state: str | None) -> str:
        """Return the task instance as Airflow 1 printed it."""
        return instance_names.of(self.dag_id, self.task_id, self.date, state)

    def not_met(self, name: str, reason: str, state: str | None) -> Printed:
        """Return the failure for a dependency that is not met."""
        return Printed(f"Dependencies not met for {self.named(state)}, dependency '{name}' FAILED: {reason}")


def run(call: Call, caller: Caller, wish: Wish) -> Json | Pending:
    """Run the task in the run at the date, or in a new run that executes nothing else, and answer how it ended.

    Raises `Printed`, `Denied`, and what `run_task_instance`, `patch_task_instance` and `trigger_dag_run` raise.
    """
    date = instants.parse(wish.execution_date, "execution_date")
    place = Place(call, caller, wish.dag_id, wish.task_id, date)
    call.run_id = run_id = run_dates.run_id_at(place.dag_id, date)
    if wish.mark_success:
        return _marked(place, run_id)
    return _alone(place, wish) if run_id is None else _in_run(place, run_id, wish)


def _marked(place: Place, run_id: str | None) -> Json:
    if run_id is None:
        raise Printed(
            f"DagRun for {place.dag_id} with run_id or execution_date of {place.date.isoformat()!r} not found"
        )
    wanted = changes.Place(place.dag_id, run_id, place.task_id, None)
    with suppress(changes.AlreadyInState):
        changes.patch_task_instance(
            wanted, update_mask=None, body={"new_state": "success"}, caller=place.caller
        )
    return place.call.printed(f"Marking success for {place.named('success')}\nsuccess\n")


def _in_run(place: Place, run_id: str, wish: Wish) -> Json | Pending:
    _require_ready(place, run_id, wish)
    started = _run_instance(place, run_id, dry_run=False)["task_instance"]
    told = partial(_told, place, run_id, place.named(started["state"]))
    if started["state"] in _ENDED:
        return told()
    return Pending("task_instance", (place.dag_id, run_id, place.task_id, -1), _ENDED, SECONDS, told)


def _require_ready(place: Place, run_id: str, wish: Wish) -> None:
    """Raise `Printed` where the old command would have left the task alone."""
    state = task_instance.get_task_instance(place.dag_id, run_id, place.task_id)["state"]
    if state in _DONE and not wish.any_state:
        raise place.not_met(
            "Task Instance State",
            f"Task is in the '{state}' state which is not a valid state for execution. The task must be cleared in "
            "order to be run.",
            state,
        )
    if wish.any_dependency:
        return
    for dependency in _run_instance(place, run_id, dry_run=True)["ignored_dependencies"]:
        if not (wish.ignore_depends_on_past and dependency["name"] == _PAST):
            raise place.not_met(dependency["name"], dependency["reason"], state)


def _run_instance(place: Place, run_id: str, *, dry_run: bool) -> Json:
    return running.run_task_instance(
        place.dag_id, run_id, place.task_id, -1, isolated=False, dry_run=dry_run, caller=place.caller
    )


def _alone(place: Place, wish: Wish) -> Pending:
    body = {"logical_date": place.date.isoformat(), "task_ids": [place.task_id]}
    place.call.require("trigger_dag_run", {"dag_id": place.dag_id}, body)
    _require_date(place)
    if not wish.any_dependency:
        _require_first(place)
    made = dag_run.trigger_dag_run(place.dag_id, body=body, caller=place.caller)
    place.call.run_id = made["dag_run_id"]
    told = partial(_told, place, made["dag_run_id"], place.named(None))
    return Pending("dag_run", (place.dag_id, made["dag_run_id"]), _RUN_ENDED, SECONDS, told)


def _require_date(place: Place) -> None:
    """Raise `Printed` for a date that the task has no run at: Airflow 3 would make a run without the task."""
    known, now = task.get_task(place.dag_id, place.task_id), datetime.now(timezone.utc)
    told = None
    if known["start_date"] and place.date < known["start_date"]:
        told = f"is before the task's start date {known['start_date'].isoformat()}."
    elif known["end_date"] and place.date > known["end_date"]:
        told = f"is after the task's end date {known['end_date'].isoformat()}."
    elif place.date > now:
        told = f"is in the future (the current date is {now.isoformat()})."
    if told:
        raise place.not_met("Execution Date", f"Execution date {place.date.isoformat()} {told}", None)


def _require_first(place: Place) -> None:
    """Raise `Printed` for a task that waits for others, none of which has a state without a run."""
    tasks = task.get_tasks(place.dag_id, order_by="task_id")["tasks"]
    before = [entry["task_id"] for entry in tasks if place.task_id in entry["downstream_task_ids"]]
    if before:
        raise place.not_met(
            "Trigger Rule",
            f"it waits for {', '.join(before)}, and there is no run at this date in which these could have ended. "
            "With ignore_dependencies it is run all the same.",
            None,
        )


def _told(place: Place, run_id: str, name: str) -> Json:
    run = dag_run.get_dag_run(place.dag_id, run_id, caller=place.caller)
    state = _state(place, run)
    return place.call.printed(f"Running {name}\n{state}\n", _trouble(place, run_id, state))


def _state(place: Place, run: Json) -> str | None:
    """Return the state of the task; of a mapped one, which has a run of its own, what became of its instances."""
    try:
        entry = task_instance.get_task_instance(place.dag_id, run["dag_run_id"], place.task_id)
    except task_instance.TaskIsMapped:
        return str(run["selection"]["outcome"])
    found: str | None = entry["state"]
    return found


def _trouble(place: Place, run_id: str, state: str | None) -> str:
    if state in ("success", "skipped"):
        return ""
    task_id = f"The task '{place.task_id}' of the run '{run_id}'"
    if state == "up_for_retry":
        return f"{task_id} failed and will be tried again; get_log tells why."
    if state in _ENDED:
        return f"{task_id} ended as '{state}'; get_log tells why."
    return f"{task_id} goes on; get_task_instance tells its end.{standstill.hint(place.dag_id)}"
