"""Task: the operations of `openapi/paths/task.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import task as service

Json = dict[str, Any]


def get_tasks(dag_id: str, order_by: str) -> Json:
    """List the tasks of a DAG."""
    return service.get_tasks(dag_id, order_by=order_by)


def get_task(dag_id: str, task_id: str) -> Json:
    """Get a task."""
    return service.get_task(dag_id, task_id)
