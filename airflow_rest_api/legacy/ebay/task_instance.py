"""Task instances: how they stand, and how they are ended."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.ebay import dag_run, dates
from airflow_rest_api.legacy.failures import Missing
from airflow_rest_api.services import errors, kill
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.kills.killing import NothingToKill
from airflow_rest_api.services.task_instances import task_instance_skipping, telling_task_instance
from airflow_rest_api.services.task_instances.task_instance_changes import Place
from airflow_rest_api.services.task_instances.task_instance_skipping import NothingToSkip

# What was `running` in Airflow 1 may have put itself off since, to a trigger or to somebody's answer.
KILLED = ("none", "running", "deferred", "awaiting_input")
_NO_TASK = "dag task is not found"


def task_instance_detail(call: Call, dag_id: str, run_id: str, task_id: str, caller: Caller) -> Json:
    """Return how a task of a run stands; raises `RunMissing`, and `Missing` where there is no such task."""
    try:
        instance = telling_task_instance.get_telling_task_instance(dag_id, run_id, task_id)
    except errors.TaskInstanceNotFound:
        dag_run.found(dag_id, run_id, caller)
        raise Missing(_NO_TASK) from None
    return call.flat(
        taskId=instance["task_id"],
        dagId=instance["dag_id"],
        state=instance["state"],
        tryNumber=_number(instance["try_number"]),
        maxTries=_number(instance["max_tries"]),
        startDate=dates.told(instance["start_date"]),
        endDate=dates.told(instance["end_date"]),
        duration=_number(instance["duration"]),
    )


def kill_running_tasks(
    call: Call, dag_id: str, run_id: str, task_id: str | None, caller: Caller, background: Background
) -> Json:
    """Kill what runs of a run, or one task of it, and what was not begun; an operation follows the processes.

    Raises `RunMissing`, and `Missing` where nothing runs.
    """
    wish: Json = {"states": KILLED, "map_index": None, "dry_run": False}
    resources: Json = {"caller": caller, "background": background}
    try:
        if task_id is None:
            kill.kill_dag_run(dag_id, run_id, query=wish, body={}, **resources)
        else:
            kill.kill_task_instance(dag_id, run_id, task_id, query=wish, **resources)
    except errors.DagRunNotFound:
        raise dag_run.RunMissing from None
    except (NothingToKill, errors.TaskInstanceNotFound):
        raise _nothing_runs(task_id) from None
    return call.flat()


def skip_task_instance(call: Call, dag_id: str, run_id: str, task_id: str) -> Json:
    """Skip one task of a run, whatever its state; raises `RunMissing`, and `Missing` where there is no such task."""
    place, states = Place(dag_id, run_id, task_id, None), task_instance_skipping.SKIPPABLE
    try:
        task_instance_skipping.skip_task_instance(place, downstream=False, states=states, dry_run=False)
    except errors.DagRunNotFound:
        raise dag_run.RunMissing from None
    except errors.TaskInstanceNotFound:
        raise Missing(_NO_TASK) from None
    except NothingToSkip as refusal:
        if refusal.present != {"skipped"}:
            raise
    return call.flat()


def _nothing_runs(task_id: str | None) -> Missing:
    if task_id is None:
        return Missing("dagRun don't have running tasks")
    return Missing("task is not found or state is neither RUNNING nor NONE")


def _number(value: Any) -> str | None:
    """Return a number as a text, and 0 as none, as the plugin did."""
    return str(value) if value else None
