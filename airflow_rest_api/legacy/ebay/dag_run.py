"""Runs: how they stand, what failed in them, and such of some tasks alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_rest_api.legacy import instants
from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.ebay import dates
from airflow_rest_api.legacy.failures import BadRequest, Missing
from airflow_rest_api.services import dag_run, errors, json_texts
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import missing_dag
from airflow_rest_api.services.runs import dag_run_restart
from airflow_rest_api.services.runs.dag_run_creation import DagRunAlreadyExists

# The plugin restarted what had failed itself, with all that is downstream of it.
_FAILED = ("failed",)
# What has room in Airflow's table; SQLite would take more.
_LONGEST_ID = 250


class RunMissing(Missing):
    """The DAG has no such run."""

    def __init__(self) -> None:
        super().__init__("dag run is not found")


def dag_state(call: Call, dag_id: str, run_id: str, caller: Caller) -> Json:
    """Return the state of a run, and its dates; raises `RunMissing`."""
    run = found(dag_id, run_id, caller)
    return call.flat(
        state=run["state"], startDate=dates.told(run["start_date"]), endDate=dates.told(run["end_date"])
    )


def restart_failed_task(call: Call, dag_id: str, run_id: str) -> Json:
    """Restart what failed in a run; raises `RunMissing`, and `Missing` where nothing has failed."""
    try:
        restarted = dag_run_restart.restart_failed_tasks(dag_id, run_id, dry_run=False, states=_FAILED)
    except errors.DagRunNotFound:
        raise RunMissing from None
    except dag_run_restart.RunHasNoFailedTask:
        raise Missing("dagRun don't have failed tasks") from None
    return call.flat(
        failed_task_count=restarted["failed_task_count"], clear_task_count=restarted["clear_task_count"]
    )


def run_task_instance(
    call: Call, dag_id: str, run_id: str, tasks: str, conf: str | None, caller: Caller
) -> Json:
    """Make a run in which only these tasks are executed, about the present moment.

    Raises `BadRequest` for a configuration that is none and for an id that is too long, `Missing` for an id that is
    taken, for a task and for a DAG that is not there, and what `trigger_dag_run` raises.
    """
    configuration = _configuration(conf)
    if len(run_id) > _LONGEST_ID:
        raise BadRequest(f"run_id is longer than {_LONGEST_ID} characters")
    body = {
        "dag_run_id": run_id,
        "conf": configuration,
        "task_ids": tasks.split(","),
    }
    try:
        run = _triggered(dag_id, body, caller)
    except errors.DagNotFound:
        raise Missing(f"Dag id {dag_id} not found{missing_dag.because(dag_id, caller)}") from None
    except (errors.AlreadyExists, errors.TaskNotFound) as refusal:
        raise _old_refusal(refusal, dag_id, run_id, caller) from None
    return call.flat(execution_date=dates.told(run["logical_date"]))


def found(dag_id: str, run_id: str, caller: Caller) -> Json:
    """Return the run; raises `RunMissing`."""
    try:
        return dag_run.get_dag_run(dag_id, run_id, caller=caller)
    except errors.DagRunNotFound:
        raise RunMissing from None


def _triggered(dag_id: str, body: Json, caller: Caller) -> Json:
    """Trigger a run at the current time: as in Airflow 1 each run has a logical date, which old templates use.

    Raises what `trigger_dag_run` raises.
    """
    attempts = (_attempt(dag_id, body, moment, caller) for moment in instants.present())
    made = next(filter(None, attempts), None)
    if made is None:
        raise errors.AlreadyExists(f"The DAG '{dag_id}' has a run at each date that was tried. Try again.")
    return made


def _attempt(dag_id: str, body: Json, moment: datetime, caller: Caller) -> Json | None:
    """Trigger a run, or return None if another run has the date; raises what `trigger_dag_run` raises."""
    try:
        return dag_run.trigger_dag_run(
            dag_id, body={**body, "logical_date": moment.isoformat()}, caller=caller
        )
    except DagRunAlreadyExists as refusal:
        if refusal.is_of_id:
            raise
        return None


def _exists(dag_id: str, run_id: str, caller: Caller) -> bool:
    try:
        found(dag_id, run_id, caller)
    except RunMissing:
        return False
    return True


def _configuration(conf: str | None) -> dict[str, Any]:
    """Return what is said of a run's configuration: an object, because Airflow 3 takes nothing else."""
    try:
        read = None if conf is None else json_texts.parse(conf.encode())
    except errors.Malformed:
        raise BadRequest("Invalid JSON configuration") from None
    if not isinstance(read, dict | None):
        raise BadRequest("Invalid JSON configuration")
    return read or {}


def _old_refusal(refusal: errors.Refusal, dag_id: str, run_id: str, caller: Caller) -> errors.Refusal:
    """Return what the plugin said; it looked for the run before it looked for the tasks."""
    if _exists(dag_id, run_id, caller):
        return Missing(f"run_id {run_id} already exists")
    if isinstance(refusal, errors.TaskNotFound):
        return Missing(f"dag task of {refusal.members['task_id']} is not found")
    return refusal
