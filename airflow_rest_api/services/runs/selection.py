"""Selections: some tasks of a DAG, and how a run is made in which the scheduler starts only these.

All other task instances are ended before the scheduler can see the run. Those that lie before a selected task have
to succeed, or it would never be started; the rest is skipped. None of them has a try.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow._shared.timezones import timezone
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.task.trigger_rule import TriggerRule
from airflow.utils.state import TaskInstanceState
from sqlalchemy import update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors
from airflow_rest_api.services.runs import selection_outcome, selection_warnings, task_graph

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

_TASK_INSTANCE = TaskInstance.__table__
# A rule that a single success before the task breaks; `TriggerRuleDep` of Airflow skips the task at once.
_BROKEN_BY_ONE_SUCCESS = frozenset({TriggerRule.ALL_FAILED, TriggerRule.ALL_SKIPPED})
# As many ids in one statement as every database takes.
_CHUNK = 500


class SelectionEmpty(errors.Unprocessable):
    """No task is left to run."""

    title = "No task is selected"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"Of the DAG '{dag_id}' no task is selected; name one in task_ids, or exclude fewer.",
            dag_id=dag_id,
        )


class MappedTaskNeedsFeeder(errors.Unprocessable):
    """A mapped task is selected without a task whose result tells what it expands to."""

    title = "A mapped task needs the task that feeds it"

    def __init__(self, dag_id: str, needed: Mapping[str, list[str]]) -> None:
        told = "; ".join(f"'{task}' needs {_quoted(feeders)}" for task, feeders in needed.items())
        super().__init__(
            f"Mapped tasks expand over results that would not be there, or not yet: {told}. Select those as well.",
            dag_id=dag_id,
            tasks=[{"task_id": task, "needs": feeders} for task, feeders in needed.items()],
        )


class TriggerRuleCannotFire(errors.Unprocessable):
    """A selected task's trigger rule cannot be met when the tasks before it do not run."""

    title = "A trigger rule cannot be met"

    def __init__(self, dag_id: str, broken: Mapping[str, tuple[str, list[str]]]) -> None:
        told = "; ".join(
            f"'{task}' ({rule}) waits for {_quoted(upstream)}" for task, (rule, upstream) in broken.items()
        )
        super().__init__(
            f"Tasks that do not run count as successes for those behind them, and then {told} in vain. "
            "Select what they wait for as well, or leave them out.",
            dag_id=dag_id,
            tasks=[
                {"task_id": task, "trigger_rule": rule, "needs": upstream}
                for task, (rule, upstream) in broken.items()
            ],
        )


@dataclass(frozen=True)
class Selection:
    """The tasks that run, those that count as success or as skipped, and what the caller should know.

    ``first`` are the selected tasks with no selected task directly before them. With a ``map_index``, of the one
    task that is selected only this instance runs.
    """

    task_ids: frozenset[str]
    marked_success: frozenset[str]
    marked_skipped: frozenset[str]
    first: frozenset[str]
    warnings: tuple[selection_warnings.Loss, ...]
    map_index: int | None = None


def is_wanted(body: Mapping[str, Any]) -> bool:
    """Tell whether the body of a trigger selects tasks."""
    return body.get("task_ids") is not None or bool(body.get("exclude_task_ids"))


def of(dag: SerializedDAG, body: Mapping[str, Any], map_index: int | None = None) -> Selection:
    """Return what the body selects of the DAG.

    Raises `TaskNotFound`, `SelectionEmpty`, `MappedTaskNeedsFeeder` and `TriggerRuleCannotFire`.
    """
    task_ids = _selected(dag, body)
    if not task_ids:
        raise SelectionEmpty(dag.dag_id)
    _require_feeders(dag, task_ids)
    _require_rules(dag, task_ids)
    everything = frozenset(dag.task_ids)
    earlier = frozenset(task_graph.before(dag, task_ids)) - task_ids
    return Selection(
        task_ids=task_ids,
        marked_success=earlier,
        marked_skipped=everything - earlier - task_ids,
        first=frozenset(task_id for task_id in task_ids if not _inside(dag, task_id, task_ids)),
        warnings=tuple(selection_warnings.of(dag, task_ids)),
        map_index=map_index,
    )


def carry_out(session: Session, runs: Sequence[DagRun], selected: Selection) -> None:
    """End all task instances of new runs of one DAG that are not selected, and remember what was selected.

    It has to happen in the transaction that makes the runs.
    """
    for start in range(0, len(runs), _CHUNK):
        _carry_out(session, runs[start : start + _CHUNK], selected)
    selection_outcome.remember(
        session,
        runs,
        task_ids=sorted(selected.task_ids),
        first=sorted(selected.first),
        map_index=selected.map_index,
        warnings=[warning.told() for warning in selected.warnings],
    )


def mark_success(session: Session, runs: Sequence[DagRun], task_ids: frozenset[str]) -> None:
    """End task instances of new runs of one DAG as successes that were never tried.

    It has to happen in the transaction that makes the runs.
    """
    for start in range(0, len(runs), _CHUNK):
        _mark(session, runs[start : start + _CHUNK], task_ids, TaskInstanceState.SUCCESS)


def marks(selected: Selection) -> dict[str, list[str]]:
    """Tell what becomes of the tasks of a run that the selection is carried out on."""
    return {
        "task_ids": sorted(selected.task_ids),
        "marked_success": sorted(selected.marked_success),
        "marked_skipped": sorted(selected.marked_skipped),
    }


def _carry_out(session: Session, runs: Sequence[DagRun], selected: Selection) -> None:
    _mark(session, runs, selected.marked_success, TaskInstanceState.SUCCESS)
    _mark(session, runs, selected.marked_skipped, TaskInstanceState.SKIPPED)
    if selected.map_index is not None:
        others = _TASK_INSTANCE.c.map_index != selected.map_index
        _mark(session, runs, selected.task_ids, TaskInstanceState.SKIPPED, others)


def _selected(dag: SerializedDAG, body: Mapping[str, Any]) -> frozenset[str]:
    named, excluded = body.get("task_ids"), body.get("exclude_task_ids") or ()
    unknown = [task_id for task_id in dict.fromkeys([*(named or ()), *excluded]) if not dag.has_task(task_id)]
    if unknown:
        raise errors.TaskNotFound(dag.dag_id, *unknown)
    if named is None:
        return frozenset(dag.task_ids).difference(excluded)
    found = set(named)
    if body.get("include_upstream"):
        found |= task_graph.before(dag, named)
    if body.get("include_downstream"):
        found |= task_graph.behind(dag, named)
    return frozenset(task_graph.with_surroundings(dag, found)).difference(excluded)


def _require_feeders(dag: SerializedDAG, task_ids: frozenset[str]) -> None:
    needed = {
        task_id: sorted(absent)
        for task_id in sorted(task_ids)
        if (absent := _absent_feeders(dag, task_id, task_ids))
    }
    if needed:
        raise MappedTaskNeedsFeeder(dag.dag_id, needed)


def _absent_feeders(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> Set[str]:
    """Return the tasks without which this one would be expanded before it is known how far.

    The scheduler gives up a task that it may start and cannot expand. So one within a mapped group needs the tasks
    between itself and what feeds the group as well.
    """
    feeders = task_graph.feeders(dag, task_id)
    if not feeders or not feeders <= task_ids:
        return feeders - task_ids
    between = task_graph.neighbours(dag, task_id, upstream=True) - task_ids
    is_early = dag.get_task(task_id).trigger_rule in selection_warnings.MET_BY_ONE_SUCCESS
    waits_for = task_graph.before(dag, [task_id], within=task_ids)
    return between if is_early or not feeders <= waits_for else set()


def _require_rules(dag: SerializedDAG, task_ids: frozenset[str]) -> None:
    broken = {task_id: found for task_id in sorted(task_ids) for found in _broken(dag, task_id, task_ids)}
    if broken:
        raise TriggerRuleCannotFire(dag.dag_id, broken)


def _broken(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rule of a task and what it waits for, when it waits in vain.

    `all_failed` and `all_skipped` allow no success before the task, `one_failed` needs somebody who can fail. All
    other rules are content with successes.
    """
    rule = TriggerRule(dag.get_task(task_id).trigger_rule)
    upstream = task_graph.neighbours(dag, task_id, upstream=True)
    absent = upstream - task_ids
    if rule in _BROKEN_BY_ONE_SUCCESS and absent:
        yield rule.value, sorted(absent)
    if rule == TriggerRule.ONE_FAILED and upstream and absent == upstream:
        yield rule.value, sorted(absent)


def _inside(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> bool:
    return not task_ids.isdisjoint(task_graph.neighbours(dag, task_id, upstream=True))


def _mark(
    session: Session,
    runs: Sequence[DagRun],
    task_ids: frozenset[str],
    state: TaskInstanceState,
    *further: ColumnElement[bool],
) -> None:
    now = timezone.utcnow()
    ended = {"state": state, "start_date": now, "end_date": now, "duration": 0.0}
    names = sorted(task_ids)
    of_runs = _TASK_INSTANCE.c.run_id.in_([run.run_id for run in runs])
    mine = (_TASK_INSTANCE.c.dag_id == runs[0].dag_id, of_runs, *further)
    for start in range(0, len(names), _CHUNK):
        chunk = _TASK_INSTANCE.c.task_id.in_(names[start : start + _CHUNK])
        session.execute(update(_TASK_INSTANCE).where(*mine, chunk).values(ended))


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
