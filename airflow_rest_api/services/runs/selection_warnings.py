"""Warnings about a selection: it can be run, and yet something is not as in a whole run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow.task.trigger_rule import TriggerRule

from airflow_rest_api.services.runs import task_graph

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# The first argument, or `task_ids`: a name or several. Airflow writes `XComArg`s into the fields of a serialised task
# in this form, too.
_PULL = re.compile(r"xcom_pull\((?:[^)]*?\btask_ids\s*=)?\s*([\[(][^\])]*[\])]|'[^']*'|\"[^\"]*\")")
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")
# Rules that one success before the task fulfils, whatever the others do.
MET_BY_ONE_SUCCESS = frozenset({TriggerRule.ONE_SUCCESS, TriggerRule.ONE_DONE})
# How many tasks a warning names, and how many of them its sentence does.
MOST_NAMED = 100
_IN_A_SENTENCE = 5


@dataclass(frozen=True)
class Loss:
    """What a selected task lacks: a ``code``, which other tasks it is about, and a sentence."""

    code: str
    task_id: str
    other_task_ids: tuple[str, ...]
    detail: str

    def told(self) -> dict[str, Any]:
        """Return it as it is answered and stored."""
        return {**asdict(self), "other_task_ids": list(self.other_task_ids)}


def of(dag: SerializedDAG, task_ids: frozenset[str]) -> Iterator[Loss]:
    """Yield what is lost when only these tasks of the DAG run, task by task in their order."""
    are_surrounded = bool(task_graph.surroundings(dag) - task_ids)
    for task_id in sorted(task_ids):
        yield from _order(dag, task_id, task_ids)
        yield from _results(dag, task_id, task_ids)
        if are_surrounded:
            yield from _surroundings(dag, task_id, task_ids)


def _order(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> Iterator[Loss]:
    upstream = task_graph.neighbours(dag, task_id, upstream=True)
    lost = task_graph.nearest_before(dag, task_id, task_ids)
    if upstream - task_ids and dag.get_task(task_id).trigger_rule in MET_BY_ONE_SUCCESS:
        lost |= upstream & task_ids
    elif lost:
        lost -= task_graph.before(dag, [task_id], within=task_ids)
    if lost:
        yield _warning(
            "order_is_lost",
            task_id,
            lost,
            f"'{task_id}' does not wait for {{others}}: of what lies between them, not all runs.",
        )


def _results(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> Iterator[Loss]:
    absent = {name for name in _pulled_from(dag.get_task(task_id)) if dag.has_task(name)} - task_ids
    if absent:
        yield _warning(
            "xcom_is_absent",
            task_id,
            absent,
            f"'{task_id}' reads what {{others}} would return, and gets nothing.",
        )


def _surroundings(dag: SerializedDAG, task_id: str, task_ids: frozenset[str]) -> Iterator[Loss]:
    absent = task_graph.with_surroundings(dag, [task_id]) - task_ids
    if absent:
        yield _warning(
            "setup_or_teardown_is_absent",
            task_id,
            absent,
            f"'{task_id}' runs without its setup or teardown {{others}}.",
        )


def _warning(code: str, task_id: str, others: set[str], sentence: str) -> Loss:
    names = sorted(others)
    told = ", ".join(f"'{name}'" for name in names[:_IN_A_SENTENCE])
    more = f" and {len(names) - _IN_A_SENTENCE} more" if len(names) > _IN_A_SENTENCE else ""
    return Loss(code, task_id, tuple(names[:MOST_NAMED]), sentence.replace("{others}", told + more))


def _pulled_from(task: Any) -> set[str]:
    """Return the tasks whose results the fields of a task name, as far as that can be read."""
    values = [getattr(task, name, None) for name in task.template_fields]
    if task.is_mapped:
        values.append(task.partial_kwargs)
    return {name for value in values for name in _named(value)}


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        for pulled_from in _PULL.findall(value):
            yield from (single or double for single, double in _NAME.findall(pulled_from))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _named(part)
    elif hasattr(value, "data") and isinstance(value.data, Mapping):
        # The reference of a mapped task's argument, which Airflow does not resolve.
        yield from (name for key, name in value.data.items() if key == "task_id")
    elif isinstance(value, Sequence):
        for part in value:
            yield from _named(part)
