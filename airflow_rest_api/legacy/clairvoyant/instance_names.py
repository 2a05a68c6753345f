"""Instance names: task instances as Airflow 1 printed them."""

from __future__ import annotations

from datetime import datetime


def of(dag_id: str, task_id: str, date: datetime | str, state: str | None) -> str:
    """Return the name of a task instance with its state."""
    told = date if isinstance(date, str) else date.isoformat()
    return f"<TaskInstance: {dag_id}.{task_id} {told} [{state}]>"
