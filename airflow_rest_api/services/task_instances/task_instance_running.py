"""Running one task instance now, whatever it would wait for, as far as Airflow's scheduler lets that happen.

The scheduler does not start tasks that are scheduled behind its back without a look: as long as nothing else of a run
can be started it evaluates all unfinished tasks again, and sets those whose trigger rule cannot be met any more to
skipped or upstream_failed (`DagRun._are_premature_tis` of Airflow 3.3). `scheduling_forecast` asks the same question
beforehand, so that what would come to nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import write
from airflow_rest_api.services.explaining import explanation
from airflow_rest_api.services.runs import dag_run_changes, dag_run_creation, scheduling_forecast, selection
from airflow_rest_api.services.runs.scheduling_forecast import Dependency
from airflow_rest_api.services.task_instance import MapIndexNeeded
from airflow_rest_api.services.task_instances import task_instance_rows

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

Entry = dict[str, Any]

# Those that the scheduler would start by itself: they have their tries before them.
_WAITING = frozenset({None, TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE})


class TaskInstanceIsActive(errors.Conflict):
    """The task instance runs already, or is about to."""

    title = "The task instance is active"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(
            f"The task '{task_id}' is {state} already; wait for its end, or kill it first.",
            task_id=task_id,
            state=state,
        )


class TaskNotExpanded(errors.Conflict):
    """The task is mapped, and has no instances (yet)."""

    title = "The mapped task has no instances"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"The task '{task_id}' is mapped, and what it expands over is not known, or is empty: "
            "no instance of it can be run.",
            task_id=task_id,
        )


class TaskCannotRunHere(errors.Conflict):
    """The scheduler would not execute the task in this run."""

    title = "The task cannot be run in this run"

    def __init__(self, task_id: str, dependencies: Sequence[Dependency]) -> None:
        reasons = " ".join(dependency["reason"] for dependency in dependencies)
        super().__init__(
            f"The scheduler would end the task '{task_id}' in this run without executing it: {reasons} "
            "With isolated=true it is executed in a run of its own.",
            task_id=task_id,
            dependencies=list(dependencies),
        )


def run_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int,
    *,
    isolated: bool,
    dry_run: bool,
    caller: Caller,
) -> Entry:
    """Let one task instance run now, in its run, or ``isolated`` in a new run that executes nothing else.

    Raises `DagRunNotFound`, `DagNotFound`, `TaskNotFound`, `TaskInstanceNotFound`, `MapIndexNeeded`,
    `TaskNotExpanded`, `TaskInstanceIsActive` and `TaskCannotRunHere`; isolated also `Denied` and what
    triggering a run of selected tasks raises.
    """
    if isolated:
        caller.permissions.require_dag(dag_id, "POST", "RUN")

    def change(session: Session) -> Entry:
        run = dag_run_changes.locked(session, dag_id, dag_run_id)
        if isolated:
            return _isolated(session, run, task_id, map_index, caller)
        return _in_its_run(session, run, task_id, map_index, caller)

    if not dry_run:
        return write(lambda session: retries.done(session, change(session)))
    answer = dry_runs.undone(change)
    return {**answer, "preview": {"task_instances": 1, "held_back_by": answer["held_back_by"]}}


def _in_its_run(session: Session, run: DagRun, task_id: str, map_index: int, caller: Caller) -> Entry:
    dag = structure.of_run(run, session)
    instance = _instance(session, dag, run, task_id, map_index)
    if instance.state not in _WAITING and instance.state not in State.finished:
        raise TaskInstanceIsActive(task_id, str(instance.state))
    _schedule(session, run, dag, instance)
    ignored: Sequence[Dependency] = ()
    if instance.state != TaskInstanceState.SUCCESS:  # what has nothing to execute has succeeded at once
        forecast = scheduling_forecast.of(session, dag, run, instance)
        if not forecast.is_executed:
            raise TaskCannotRunHere(task_id, forecast.unmet)
        ignored = forecast.unmet
    return _answer(session, run, instance, caller, ignored=ignored)


def _isolated(session: Session, run: DagRun, task_id: str, map_index: int, caller: Caller) -> Entry:
    dag = dag_run_creation.triggerable(session, run.dag_id, caller)
    if dag.has_task(task_id) and map_index == -1 and dag.get_task(task_id).get_needs_expansion():
        raise MapIndexNeeded(task_id)
    selected = selection.of(dag, {"task_ids": [task_id]}, map_index if map_index >= 0 else None)
    body = {"conf": run.conf or {}, "partition_key": run.partition_key}
    made = dag_run_creation.made(session, dag, body, caller)
    selection.carry_out(session, [made], selected)
    instance = _instance(session, dag, made, task_id, map_index)
    warnings = [warning.told() for warning in selected.warnings]
    return _answer(session, made, instance, caller, isolated=True, warnings=warnings)


def _instance(
    session: Session, dag: SerializedDAG, run: DagRun, task_id: str, map_index: int
) -> TaskInstance:
    """Return the instance with its row locked and with its task."""
    if not dag.has_task(task_id):
        raise errors.TaskNotFound(run.dag_id, task_id)
    mine = select(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id, task_id=task_id)
    wanted = mine.where(TaskInstance.map_index == map_index).with_for_update(of=TaskInstance)
    found: TaskInstance | None = session.scalar(wanted)
    task = dag.get_task(task_id)
    if map_index == -1 and task.get_needs_expansion():
        raise TaskNotExpanded(task_id) if found is not None else MapIndexNeeded(task_id)
    if found is None:
        raise errors.TaskInstanceNotFound(run.dag_id, run.run_id, task_id, map_index)
    found.task = task
    return found


def _schedule(session: Session, run: DagRun, dag: SerializedDAG, instance: TaskInstance) -> None:
    """Put the instance where the scheduler hands tasks to executors, and its run where it looks at runs."""
    if instance.state in State.finished or run.state in State.finished_dr_states:
        clear_task_instances([instance], session, dag_run_state=DagRunState.QUEUED)
        session.flush()
        # Airflow has set the task of another copy of the DAG.
        instance.task = dag.get_task(instance.task_id)
    run.dag = dag
    run.schedule_tis([instance], session=session)
    session.refresh(instance, ["state", "try_number"])


def _answer(
    session: Session,
    run: DagRun,
    instance: TaskInstance,
    caller: Caller,
    *,
    isolated: bool = False,
    ignored: Sequence[Dependency] = (),
    warnings: Sequence[Any] = (),
) -> Entry:
    session.flush()
    key = (instance.task_id, instance.map_index)
    return {
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "isolated": isolated,
        "held_back_by": list(_held_back_by(session, run, key, caller)),
        "ignored_dependencies": list(ignored),
        "warnings": list(warnings),
        "task_instance": task_instance_rows.one(session, run.dag_id, run.run_id, *key),
    }


def _held_back_by(session: Session, run: DagRun, key: tuple[str, int], caller: Caller) -> Iterator[str]:
    told = explanation.of_run(session, run.dag_id, run.run_id, caller)["task_instances"]
    for waiting in told:
        if (waiting["task_id"], waiting["map_index"]) == key:
            codes = (cause["code"] for cause in waiting["causes"])
            yield from (code for code in codes if code != explanation.NOTHING_HOLDS)
