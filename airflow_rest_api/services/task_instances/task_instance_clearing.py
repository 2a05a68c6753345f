"""Clearing task instances: letting tasks run again, of one run or of many, or seeing which that would be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.state import DagRunState
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, instants, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import unit_of_work, write
from airflow_rest_api.services.runs.dag_run_clearing import OptionsExclusive, on_latest_version
from airflow_rest_api.services.task_instances import task_instance_locks as locks
from airflow_rest_api.services.task_instances import task_instance_relatives as relatives
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_changes import key, set_notes
from airflow_rest_api.services.task_instances.task_instance_relatives import Marker
from airflow_rest_api.services.task_instances.task_instance_rows import Entry

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

_FAILED = frozenset({"failed", "upstream_failed"})
# How often to look again when task instances changed between being found and being locked.
_LOOKS = 5


class TaskNameUnclear(errors.Malformed):
    """An entry of ``task_ids`` is neither a task's id nor a pair of an id and an index."""

    title = "It is unclear which task is meant"

    def __init__(self, entry: object) -> None:
        super().__init__(f"task_ids takes ids of tasks and pairs [task_id, map_index]; {entry!r} is neither.")


class RunHasNoLogicalDate(errors.Malformed):
    """Runs before and after one without a logical date were asked for."""

    title = "The run has no logical date"

    def __init__(self, dag_run_id: str) -> None:
        super().__init__(
            f"The run '{dag_run_id}' has no logical date: nothing is before or after it. Leave out include_past and "
            "include_future.",
            dag_run_id=dag_run_id,
        )


class TaskIsRunning(errors.Conflict):
    """A task that was to be cleared runs, and was not to be ended."""

    title = "A task is running"

    def __init__(self, instance: TaskInstance) -> None:
        super().__init__(
            f"The task '{instance.task_id}' of the run '{instance.run_id}' is running; wait for its end, or leave out "
            "prevent_running_task to have it ended and run again.",
            task_id=instance.task_id,
            dag_run_id=instance.run_id,
            map_index=instance.map_index,
        )


@dataclass(frozen=True)
class Clearing:
    """Which task instances are to be cleared, and how."""

    dag_run_id: str | None
    start: datetime | None
    end: datetime | None
    markers: tuple[Marker, ...] | None
    upstream: bool
    downstream: bool
    future: bool
    past: bool
    only_failed: bool
    only_running: bool
    run_on_latest_version: bool | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Clearing:
        """Read a body; raises `OptionsExclusive` and `TaskNameUnclear`."""
        start, end = (instants.parse_optional(body.get(name)) for name in ("start_date", "end_date"))
        _require_coherence(body, start, end)
        named = body.get("task_ids")
        return cls(
            dag_run_id=body.get("dag_run_id"),
            start=start,
            end=end,
            markers=None if named is None else tuple(map(_marker, named)),
            **{
                name: body.get(f"include_{name}", False)
                for name in ("upstream", "downstream", "future", "past")
            },
            only_failed=body.get("only_failed", True),
            only_running=body.get("only_running", False),
            run_on_latest_version=body.get("run_on_latest_version"),
        )

    @property
    def in_one_run(self) -> bool:
        """Tell whether a single run is meant."""
        return self.dag_run_id is not None and not (self.past or self.future)

    def fits(self, instance: TaskInstance) -> bool:
        """Tell whether the state of a task instance is one that is to be cleared."""
        wanted = (_FAILED if self.only_failed else frozenset()) | (
            {"running"} if self.only_running else set()
        )
        return not wanted or instance.state in wanted


def post_clear_task_instances(dag_id: str, *, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Clear task instances and queue their runs; a dry run, which is the default, answers which these would be.

    Raises `OptionsExclusive`, `TaskNameUnclear`, `DagNotFound`, `DagRunNotFound`, `RunHasNoLogicalDate`,
    `TaskNotFound` and `TaskIsRunning`.
    """
    wish = Clearing.of(body)
    if body.get("dry_run", True):
        with unit_of_work() as session:
            return _told(session, _found(session, dag_id, wish))

    def change(session: Session) -> Entry:
        found = _held(session, dag_id, wish)
        _clear(session, dag_id, found, wish, body)
        if body.get("note") is not None:
            set_notes(found, body["note"], caller)
            session.flush()
        return retries.done(session, _told(session, found))

    return write(change)


def _require_coherence(body: Mapping[str, Any], start: datetime | None, end: datetime | None) -> None:
    if body.get("only_failed") and body.get("only_running"):
        raise OptionsExclusive(
            "only_failed and only_running exclude each other; send one of them at the most."
        )
    if start is not None and end is not None and start > end:
        raise OptionsExclusive("end_date lies before start_date.")
    if body.get("dag_run_id") and (start is not None or end is not None):
        raise OptionsExclusive(
            "dag_run_id excludes start_date and end_date; name one run, or the dates that runs lie between."
        )


def _marker(entry: Any) -> Marker:
    if isinstance(entry, str):
        return entry
    if len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], int):
        return entry[0], entry[1]
    raise TaskNameUnclear(entry)


def _held(session: Session, dag_id: str, wish: Clearing) -> list[TaskInstance]:
    """Return the task instances that are to be cleared, locked with their runs."""
    held: list[TaskInstance] = []
    for _ in range(_LOOKS):
        found = _found(session, dag_id, wish)
        locks.named_runs(session, {(instance.dag_id, instance.run_id) for instance in found})
        held = locks.instances_again(session, found)
        if len(held) == len(found):
            break
    # Those that got another state between being found and being locked are none that were asked for.
    return [instance for instance in held if wish.fits(instance)]


def _found(session: Session, dag_id: str, wish: Clearing) -> list[TaskInstance]:
    dag, bounds = _place(session, dag_id, wish)
    found: list[TaskInstance] = dag.clear(
        dry_run=True,
        task_ids=_markers(session, dag, wish),
        only_failed=wish.only_failed,
        only_running=wish.only_running,
        session=session,
        **bounds,
    )
    return sorted(found, key=key)


def _place(session: Session, dag_id: str, wish: Clearing) -> tuple[SerializedDAG, dict[str, Any]]:
    """Return the DAG whose tasks are meant, and between which bounds Airflow has to look for runs."""
    structure.require(dag_id, session)
    if wish.dag_run_id is None:
        return structure.latest(dag_id, session), _between(wish, wish.start, wish.end)
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == wish.dag_run_id))
    if run is None:
        raise errors.DagRunNotFound(dag_id, wish.dag_run_id)
    dag = structure.of_run(run, session)
    if wish.in_one_run:
        return dag, {"run_id": run.run_id}
    if run.logical_date is None:
        raise RunHasNoLogicalDate(run.run_id)
    return dag, _between(wish, run.logical_date, run.logical_date)


def _between(wish: Clearing, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    return {"start_date": None if wish.past else start, "end_date": None if wish.future else end}


def _markers(session: Session, dag: SerializedDAG, wish: Clearing) -> Collection[Marker] | None:
    """Return the tasks that are meant with the relatives that were asked for; none stands for all."""
    if wish.markers is None:
        return None
    markers = set(wish.markers)
    if wish.dag_run_id is None and (wish.upstream or wish.downstream):
        markers |= relatives.in_any_run(dag, markers, upstream=wish.upstream, downstream=wish.downstream)
    elif wish.dag_run_id is not None:
        # First up, then down: with both, what comes after an earlier task is meant as well, as in Airflow.
        if wish.upstream:
            markers |= relatives.in_run(session, dag, wish.dag_run_id, markers, "upstream")
        if wish.downstream:
            markers |= relatives.in_run(session, dag, wish.dag_run_id, markers, "downstream")
    return [marker for marker in markers if isinstance(marker, str) or marker[0] not in markers]


def _clear(
    session: Session, dag_id: str, found: list[TaskInstance], wish: Clearing, body: Mapping[str, Any]
) -> None:
    running = [instance for instance in found if instance.state == "running"]
    if running and body.get("prevent_running_task", False):
        raise TaskIsRunning(running[0])
    clear_task_instances(
        found,
        session,
        DagRunState.QUEUED if body.get("reset_dag_runs", True) else False,
        run_on_latest_version=on_latest_version(session, dag_id, wish.run_on_latest_version),
    )


def _told(session: Session, found: Sequence[TaskInstance]) -> Entry:
    return task_instance_rows.collection(session, [instance.id for instance in found])
