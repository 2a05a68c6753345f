"""Skipping: ending task instances without running them, so that their run goes on without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, listeners, retries
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import write
from airflow_rest_api.services.runs import dag_run_changes
from airflow_rest_api.services.task_instances import task_instance_locks as locks
from airflow_rest_api.services.task_instances import task_instance_relatives as relatives
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_changes import Place
from airflow_rest_api.services.task_instances.task_instance_rows import Entry

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.serialization.definitions.dag import SerializedDAG

NO_STATE = "none"
# What can be skipped at all: all but what is skipped, and what the DAG has no more.
SKIPPABLE = frozenset({NO_STATE, *(state.value for state in TaskInstanceState)}) - {"skipped", "removed"}
_FINISHED_RUN = frozenset({"success", "failed"})


class NothingToSkip(errors.Conflict):
    """None of the task instances in question is in a state that is to be skipped."""

    title = "There is nothing to skip"

    def __init__(self, task_id: str, present: Collection[str]) -> None:
        found = ", ".join(f"'{state}'" for state in sorted(set(present)))
        super().__init__(
            f"Nothing of the task '{task_id}' can be skipped: what there is, is in the state {found}. Name further "
            "states with the parameter states to have these skipped as well.",
            task_id=task_id,
        )
        self.present = frozenset(present)


@dataclass(frozen=True)
class Skip:
    """What to skip: one task or one of its instances, with what is downstream or without, in which states."""

    place: Place
    downstream: bool
    states: frozenset[str]


@dataclass
class Skipped:
    """What was found for a skip, and what became of it."""

    run: DagRun
    chosen: list[TaskInstance]
    left: list[Entry]
    before: list[Entry]
    cleared: list[TaskInstance]


def skip_task_instance(place: Place, *, downstream: bool, states: Collection[str], dry_run: bool) -> Entry:
    """Set task instances to `skipped`, and let a run that has ended be judged anew; a dry run undoes it.

    Raises `DagRunNotFound`, `DagNotFound`, `TaskInstanceNotFound`, `TaskNotFound` and `NothingToSkip`.
    """
    skip = Skip(place, downstream, frozenset(states))
    if dry_run:
        return dry_runs.undone(lambda session: _previewed(session, _carry_out(session, skip)))

    def change(session: Session) -> Entry:
        done = _carry_out(session, skip)
        listeners.tell_of_task_instances(done.chosen, TaskInstanceState.SKIPPED)
        return retries.done(session, _told(session, done))

    return write(change)


def _carry_out(session: Session, skip: Skip) -> Skipped:
    run = dag_run_changes.locked(session, skip.place.dag_id, skip.place.dag_run_id)
    dag = structure.of_run(run, session)
    chosen, left = _sorted_out(_meant(session, dag, skip), dag, skip)
    if not chosen:
        raise NothingToSkip(skip.place.task_id, [str(entry["state"] or NO_STATE) for entry in left])
    before = [_named(instance) for instance in chosen]
    for instance in chosen:
        instance.set_state(TaskInstanceState.SKIPPED, session=session)
    cleared = _revived(session, dag, skip.place, chosen)
    _judge_anew(session, run, cleared)
    return Skipped(run, chosen, left, before, cleared)


def _meant(session: Session, dag: SerializedDAG, skip: Skip) -> list[TaskInstance]:
    """Return the task instances in question, locked: those of the task, and those downstream if asked for."""
    named = locks.instances(session, *skip.place.conditions())
    if not named:
        raise skip.place.not_found()
    if not skip.downstream:
        return named
    task_id, index = skip.place.task_id, skip.place.map_index
    if not dag.has_task(task_id):
        raise errors.TaskNotFound(dag.dag_id, task_id)
    after = dag.get_task(task_id).get_flat_relative_ids(upstream=False)
    found = relatives.in_run(
        session,
        dag,
        skip.place.dag_run_id,
        [task_id if index is None else (task_id, index)],
        "downstream",
    )
    # Airflow's relatives are those to run with a task: its setups, which come before it, are among them.
    markers = [marker for marker in found if (marker if isinstance(marker, str) else marker[0]) in after]
    of_run = skip.place._replace(map_index=None).conditions()[:2]
    others = locks.instances(session, *of_run, TaskInstance.ti_selector_condition(markers))
    return list({instance.id: instance for instance in (*named, *others)}.values())


def _sorted_out(
    meant: Sequence[TaskInstance], dag: SerializedDAG, skip: Skip
) -> tuple[list[TaskInstance], list[Entry]]:
    """Part what is to be skipped from what is left alone."""
    chosen, left = [], []
    for instance in meant:
        reason = _reason_to_leave(instance, dag, skip)
        if reason is None:
            chosen.append(instance)
        else:
            left.append({**_named(instance), "reason": reason})
    return chosen, left


def _reason_to_leave(instance: TaskInstance, dag: SerializedDAG, skip: Skip) -> str | None:
    named = instance.task_id == skip.place.task_id
    # What was set up has to be torn down, unless the teardown itself is what the caller names.
    if not named and dag.has_task(instance.task_id) and dag.get_task(instance.task_id).is_teardown:
        return "teardown"
    return None if (instance.state or NO_STATE) in skip.states else "state"


def _revived(
    session: Session, dag: SerializedDAG, place: Place, chosen: Sequence[TaskInstance]
) -> list[TaskInstance]:
    """Return what failed only because of what it waits for, which is skipped now: it is to be looked at again."""
    after = {
        task_id
        for skipped in {instance.task_id for instance in chosen}
        if dag.has_task(skipped)
        for task_id in dag.get_task(skipped).get_flat_relative_ids(upstream=False)
    }
    of_run = place._replace(map_index=None).conditions()[:2]
    failed = TaskInstance.state == TaskInstanceState.UPSTREAM_FAILED
    return locks.instances(session, *of_run, TaskInstance.task_id.in_(after), failed)


def _judge_anew(session: Session, run: DagRun, cleared: list[TaskInstance]) -> None:
    """Clear task instances and, where the run has ended, queue it: the scheduler then looks at both."""
    if cleared:
        clear_task_instances(cleared, session, DagRunState.QUEUED)
    if run.state in _FINISHED_RUN:
        run.set_state(DagRunState.QUEUED)
        # Else the scheduler would take its time.
        run.last_scheduling_decision = None
    session.flush()


def _previewed(session: Session, done: Skipped) -> Entry:
    return {**_told(session, done), "preview": {"task_instances": done.before}}


def _told(session: Session, done: Skipped) -> Entry:
    skipped = task_instance_rows.by_ids(session, [instance.id for instance in done.chosen])
    return {
        "task_instances": skipped,
        "total_entries": len(skipped),
        "left_alone": done.left,
        "cleared": [
            {"task_id": instance.task_id, "map_index": instance.map_index} for instance in done.cleared
        ],
        "dag_run_state": str(done.run.state),
    }


def _named(instance: TaskInstance) -> dict[str, Any]:
    return {"task_id": instance.task_id, "map_index": instance.map_index, "state": instance.state}
