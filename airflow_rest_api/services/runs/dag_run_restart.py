"""Restarting: what failed in a run goes through again with all that is downstream of it, and nothing else does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, retries
from airflow_rest_api.services.database import write
from airflow_rest_api.services.explaining import holding
from airflow_rest_api.services.runs import dag_run_clearing
from airflow_rest_api.services.runs.selector import RunName
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances import task_instance_relatives as relatives
from airflow_rest_api.services.task_instances import task_instance_reset
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

Entry = dict[str, Any]
# A task with all its instances, or one instance of a mapped task.
Mark = str | tuple[str, int]

FAILED = ("failed", "upstream_failed")
# What an answer lists at the most; the counts count all.
LISTED = 1000
_KEY = (TASK_INSTANCE.c.dag_id, TASK_INSTANCE.c.run_id)


class RunHasNoFailedTask(errors.Conflict):
    """Nothing of the run has failed, so there is nothing to restart."""

    title = "The run has no failed task"

    def __init__(self, dag_id: str, dag_run_id: str) -> None:
        super().__init__(
            f"No task of the run '{dag_run_id}' of the DAG '{dag_id}' has failed; to run others again, clear them.",
            dag_id=dag_id,
            dag_run_id=dag_run_id,
        )


@dataclass(frozen=True)
class Restarted:
    """What was restarted in a run: the instances that had failed, and all that were cleared with them."""

    run: DagRun
    failed: tuple[tuple[str, int], ...]
    cleared: tuple[Entry, ...]


@dataclass
class Restarter:
    """Restarts runs; what is downstream of the same failed tasks of one structure is found out once.

    ``states`` are those in which a task counts as failed.
    """

    states: Collection[str] = FAILED
    _marks: dict[tuple[int, frozenset[str]], frozenset[Mark]] = field(default_factory=dict)
    # Keeps what `_marks` names by identity.
    _dags: list[SerializedDAG] = field(default_factory=list)

    def restart(self, session: Session, names: Collection[RunName]) -> list[Restarted]:
        """Clear what failed in the runs that are there, with all downstream of it, and queue those that had ended.

        The rows of the runs and of the task instances are locked until the unit of work ends.
        """
        runs = _locked(session, names)
        failed = _failed(session, list(runs), self.states)
        dags = _structures(session, [run for name, run in runs.items() if failed[name]])
        marks = {name: self._of_run(session, dag, name[1], failed[name]) for name, dag in dags.items()}
        instances = _instances(session, {name: found for name, found in marks.items() if found})
        cleared = {name: tuple(map(_entry, found)) for name, found in instances.items()}
        for dag_id, of_dag in _by_dag(instances).items():
            latest = dag_run_clearing.on_latest_version(session, dag_id, None)
            task_instance_reset.reset(session, of_dag, dags, run_on_latest_version=latest)
        return [Restarted(run, tuple(failed[name]), cleared.get(name, ())) for name, run in runs.items()]

    def _of_run(
        self, session: Session, dag: SerializedDAG, run_id: str, failed: Sequence[tuple[str, int]]
    ) -> frozenset[Mark]:
        """Return the failed tasks that the DAG still has, and all that is downstream of them."""
        known = [instance for instance in failed if dag.has_task(instance[0])]
        if any(index >= 0 for _, index in known):
            return _marks(session, dag, run_id, known)
        key = (id(dag), frozenset(task_id for task_id, _ in known))
        if key not in self._marks:
            self._marks[key] = _marks(session, dag, run_id, known)
            self._dags.append(dag)
        return self._marks[key]


def restart_failed_tasks(
    dag_id: str, dag_run_id: str, *, dry_run: bool, states: Collection[str] = FAILED
) -> Entry:
    """Restart the failed tasks of a run; a dry run does it, looks at it, and undoes it.

    ``states`` are those in which a task counts as failed.

    Raises `DagRunNotFound`, `DagNotFound` and `RunHasNoFailedTask`.
    """

    def work(session: Session) -> Restarted:
        restarted = Restarter(states).restart(session, [(dag_id, dag_run_id)])
        if not restarted:
            raise errors.DagRunNotFound(dag_id, dag_run_id)
        if not restarted[0].cleared:
            raise RunHasNoFailedTask(dag_id, dag_run_id)
        return restarted[0]

    if dry_run:
        return dry_runs.undone(lambda session: _previewed(session, work(session)))
    return write(lambda session: retries.done(session, _answer(work(session))))


def _previewed(session: Session, restarted: Restarted) -> Entry:
    run = restarted.run
    causes = holding.of_run(
        session,
        run.dag_id,
        run.run_after,
        state=run.state,
        backfill_id=run.backfill_id,
        logical_date=run.logical_date,
    )
    return {**_answer(restarted), "preview": {"held_back_by": [cause.code for cause in causes]}}


def _answer(restarted: Restarted) -> Entry:
    return {
        "dag_id": restarted.run.dag_id,
        "dag_run_id": restarted.run.run_id,
        "state": restarted.run.state,
        "failed_task_count": len(restarted.failed),
        "clear_task_count": len(restarted.cleared),
        "task_instances": sorted(restarted.cleared, key=lambda entry: (entry["task_id"], entry["map_index"]))[
            :LISTED
        ],
    }


def _locked(session: Session, names: Collection[RunName]) -> dict[RunName, DagRun]:
    """Return those of the runs that are there, their rows locked; all callers lock in the same order."""
    statement = select(DagRun).where(tuple_(DagRun.dag_id, DagRun.run_id).in_(names)).order_by(DagRun.id)
    return {(run.dag_id, run.run_id): run for run in session.scalars(statement.with_for_update())}


def _structures(session: Session, runs: Collection[DagRun]) -> dict[RunName, SerializedDAG]:
    """Return the shared structure that each run goes on with, looked up once for those of one version."""
    of_version: dict[Any, SerializedDAG] = {}
    found = {}
    for run in runs:
        version = (run.dag_id, run.created_dag_version_id, run.bundle_version)
        if version not in of_version:
            of_version[version] = place.structure_for_scheduling(session, run.dag_id, run.run_id)
        found[run.dag_id, run.run_id] = of_version[version]
    return found


def _failed(
    session: Session, names: Collection[RunName], states: Collection[str]
) -> Mapping[RunName, list[tuple[str, int]]]:
    found: dict[RunName, list[tuple[str, int]]] = defaultdict(list)
    statement = select(*_KEY, TASK_INSTANCE.c.task_id, TASK_INSTANCE.c.map_index)
    for dag_id, run_id, task_id, index in session.execute(
        statement.where(tuple_(*_KEY).in_(names), TASK_INSTANCE.c.state.in_(states))
    ):
        found[dag_id, run_id].append((task_id, index))
    return found


def _marks(
    session: Session, dag: SerializedDAG, run_id: str, failed: Sequence[tuple[str, int]]
) -> frozenset[Mark]:
    """Return what `airflow.models.taskinstance` finds downstream of the instances, with the instances themselves.

    Setups and teardowns that belong to what runs again run again, too, as when Airflow clears tasks.
    """
    plain = [task_id for task_id, index in failed if index < 0]
    mapped = [instance for instance in failed if instance[1] >= 0]
    after = relatives.in_run(session, dag, run_id, [*plain, *mapped], "downstream")
    marks: set[Mark] = {*plain, *mapped, *after}
    task_ids = {mark if isinstance(mark, str) else mark[0] for mark in marks}
    if task_ids:
        subset = dag.partial_subset(task_ids=task_ids, include_downstream=False, include_upstream=False)
        marks |= set(subset.task_dict) - task_ids
    return frozenset(marks)


def _instances(
    session: Session, marks: Mapping[RunName, Collection[Mark]]
) -> Mapping[RunName, list[TaskInstance]]:
    """Return the marked instances by run, locked; those that have never had a state have nothing to clear."""
    task_ids = {mark if isinstance(mark, str) else mark[0] for found in marks.values() for mark in found}
    statement = select(TaskInstance).where(
        tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(list(marks)),
        TaskInstance.task_id.in_(sorted(task_ids)),
        TaskInstance.state.is_not(None),
    )
    found: dict[RunName, list[TaskInstance]] = defaultdict(list)
    for instance in session.scalars(statement.with_for_update(of=TaskInstance)).unique():
        wanted = marks[instance.dag_id, instance.run_id]
        if instance.task_id in wanted or (instance.task_id, instance.map_index) in wanted:
            found[instance.dag_id, instance.run_id].append(instance)
    return found


def _by_dag(
    instances: Mapping[RunName, list[TaskInstance]],
) -> dict[str, dict[RunName, list[TaskInstance]]]:
    by_dag: dict[str, dict[RunName, list[TaskInstance]]] = defaultdict(dict)
    for name, found in instances.items():
        by_dag[name[0]][name] = found
    return by_dag


def _entry(instance: TaskInstance) -> Entry:
    """Return the instance as it was before."""
    return {"task_id": instance.task_id, "map_index": instance.map_index, "state": instance.state}
