"""Scheduling forecast: whether the scheduler executes a task instance that was scheduled past its dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dep_context import DepContext
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import select
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

Dependency = dict[str, str]

# With these the scheduler does not evaluate a run's tasks again (`DagRun.update_state`, `should_schedule`).
_LIMITS = ("max_active_tis_per_dag", "max_active_tis_per_dagrun")
_OUTSIDE = frozenset({TaskInstanceState.DEFERRED, TaskInstanceState.AWAITING_INPUT})


@dataclass(frozen=True)
class Forecast:
    """Whether the task is executed, and which of its dependencies are not met at present."""

    is_executed: bool
    unmet: list[Dependency]


def of(session: Session, dag: SerializedDAG, run: DagRun, instance: TaskInstance) -> Forecast:
    """Evaluate the dependencies of a scheduled instance, with its task, as the scheduler does.

    The scheduler looks at the unfinished instances of a run, in no order, until it finds one that can go on. So it may
    take a while until it looks at this one, and nobody knows how long: what it would end then counts as ended.

    Evaluating may change the state of task instances, as it does there: where the forecast is bad, the unit of work
    has to be rolled back.
    """
    state = instance.state
    mine = select(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id)
    others = list(_with_tasks(dag, session.scalars(mine.where(TaskInstance.id != instance.id))))
    finished = [other for other in others if other.state in State.finished]
    statuses = instance.get_failed_dep_statuses(_context(finished, flag=True), session=session)
    unmet = [{"name": status.dep_name, "reason": status.reason} for status in statuses]
    if _is_never_looked_at(instance):
        return Forecast(is_executed=True, unmet=unmet)
    is_ended = instance.state != state
    unfinished = [other for other in others if other.state in State.unfinished]
    return Forecast(not is_ended and (not unmet or _goes_on(session, unfinished, finished)), unmet)


def _goes_on(session: Session, unfinished: list[TaskInstance], finished: list[TaskInstance]) -> bool:
    """Tell whether the scheduler finds anything else to do in the run; else it gives the run up as deadlocked."""
    context = _context(finished, flag=False)
    return any(
        _is_never_looked_at(other) or other.are_dependencies_met(context, session=session)
        for other in unfinished
    )


def _is_never_looked_at(instance: TaskInstance) -> bool:
    """Tell whether the run is not evaluated again as long as this one is unfinished."""
    task: Any = instance.task
    limited = any(getattr(task, name, None) is not None for name in _LIMITS)
    return bool(task.depends_on_past or limited or instance.state in _OUTSIDE)


def _with_tasks(dag: SerializedDAG, instances: Iterable[TaskInstance]) -> Iterable[TaskInstance]:
    for instance in instances:
        if dag.has_task(instance.task_id):
            instance.task = dag.get_task(instance.task_id)
            yield instance


def _context(finished: list[TaskInstance], *, flag: bool) -> DepContext:
    return DepContext(
        flag_upstream_failed=flag,
        ignore_in_retry_period=True,
        ignore_in_reschedule_period=True,
        finished_tis=list(finished),
    )
