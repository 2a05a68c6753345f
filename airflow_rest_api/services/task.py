"""Tasks: what a DAG consists of, as its latest version says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow._shared.module_loading import qualname
from airflow.task.priority_strategy import get_weight_rule_from_priority_weight_strategy

from airflow_rest_api.services import errors
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.task.priority_strategy import PriorityWeightStrategy

Entry = dict[str, Any]


def get_tasks(dag_id: str, *, order_by: str) -> dict[str, Any]:
    """List the tasks of a DAG by one of their fields, `-` in front for the reverse; raises `DagNotFound`."""
    with reading() as session:
        tasks = structure.derived(dag_id, session, _entries)
    name = order_by.removeprefix("-")
    ordered = sorted(tasks.values(), key=lambda task: _rank(task[name]), reverse=order_by.startswith("-"))
    return {"tasks": ordered, "total_entries": len(ordered)}


def get_task(dag_id: str, task_id: str) -> Entry:
    """Return one task of a DAG; raises `DagNotFound` or `TaskNotFound`."""
    with reading() as session:
        tasks = structure.derived(dag_id, session, _entries)
    if task_id not in tasks:
        raise errors.TaskNotFound(dag_id, task_id)
    return tasks[task_id]


def _rank(value: Any) -> tuple[bool, Any]:
    """Make values comparable: null is the largest, a duration is its days, seconds and microseconds."""
    if isinstance(value, dict):
        return False, (value["days"], value["seconds"], value["microseconds"])
    return value is None, value if value is not None else 0


def _entries(dag: SerializedDAG) -> dict[str, Entry]:
    return {task_id: _entry(task) for task_id, task in dag.task_dict.items()}


def _entry(task: Any) -> Entry:
    return {
        "task_id": task.task_id,
        "task_display_name": task.task_display_name,
        "owner": task.owner,
        "start_date": structure.instant(task.start_date),
        "end_date": structure.instant(task.end_date),
        "trigger_rule": None if task.trigger_rule is None else str(task.trigger_rule),
        "depends_on_past": task.depends_on_past,
        "wait_for_downstream": task.wait_for_downstream,
        "retries": _number(task.retries),
        "queue": task.queue,
        "pool": task.pool,
        "pool_slots": _number(task.pool_slots),
        "execution_timeout": _duration(task.execution_timeout),
        "retry_delay": _duration(task.retry_delay),
        "retry_exponential_backoff": _number(task.retry_exponential_backoff),
        "priority_weight": _number(task.priority_weight),
        "weight_rule": _weight_rule(task.weight_rule),
        "ui_color": task.ui_color,
        "ui_fgcolor": task.ui_fgcolor,
        "template_fields": None if task.template_fields is None else list(task.template_fields),
        # A set: /api/v2 answers it in the order that the process happens to hash to.
        "downstream_task_ids": sorted(task.downstream_task_ids),
        "doc_md": task.doc_md,
        "operator_name": task.operator_name,
        "params": structure.params(task),
        "class_ref": {"module_path": task._task_module, "class_name": task.task_type},
        "is_mapped": task.is_mapped,
        # /api/v2 looks for the links at the wrong place and always answers none.
        "extra_links": [],
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _duration(value: timedelta | None) -> Entry | None:
    if value is None:
        return None
    return {
        "__type": "TimeDelta",
        "days": value.days,
        "seconds": value.seconds,
        "microseconds": value.microseconds,
    }


def _weight_rule(rule: PriorityWeightStrategy) -> str:
    """Return the name of one of Airflow's own rules, the import path of any other."""
    try:
        return str(get_weight_rule_from_priority_weight_strategy(type(rule)))
    except KeyError:
        return str(qualname(type(rule)))
