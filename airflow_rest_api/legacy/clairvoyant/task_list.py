"""Task list: what `airflow list_tasks` printed, plain or as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from airflow_rest_api.services import task

# A task is in the tree once for each way that leads to it: their number grows exponentially with the depth.
MOST_LINES = 10_000


def printed(dag_id: str) -> str:
    """Return the ids of the DAG's tasks, sorted, one per line; raises `DagNotFound`."""
    return "".join(f"{task_id}\n" for task_id in sorted(_tasks(dag_id))) or "\n"


def printed_tree(dag_id: str) -> str:
    """Return the tasks, each below those after which it runs; raises `DagNotFound`."""
    return tree(_tasks(dag_id))


def tree(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tree of tasks, of no more than so many lines; a last one tells that there are more."""
    lines = list(islice(_lines(tasks), MOST_LINES + 1))
    if len(lines) > MOST_LINES:
        lines[-1] = f"... (cut after {MOST_LINES} lines)"
    return "".join(f"{line}\n" for line in lines)


def _lines(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    later = {task_id for entry in tasks.values() for task_id in entry["downstream_task_ids"]}
    # A stack of its own: a chain of tasks may be longer than Python lets functions call each other.
    waiting = [(task_id, 0) for task_id in sorted(tasks.keys() - later, reverse=True)]
    while waiting:
        task_id, level = waiting.pop()
        yield " " * 4 * level + _named(tasks[task_id])
        below = sorted(tasks[task_id]["downstream_task_ids"], reverse=True)
        waiting += [(other, level + 1) for other in below if other in tasks]


def _named(entry: Mapping[str, Any]) -> str:
    kind = "Mapped" if entry["is_mapped"] else "Task"
    return f"<{kind}({entry['class_ref']['class_name']}): {entry['task_id']}>"


def _tasks(dag_id: str) -> dict[str, Mapping[str, Any]]:
    return {entry["task_id"]: entry for entry in task.get_tasks(dag_id, order_by="task_id")["tasks"]}
