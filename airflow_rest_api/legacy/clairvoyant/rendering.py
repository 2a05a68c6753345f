"""Rendering: what `airflow render` printed of a task's templates at a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_rest_api.legacy.clairvoyant import task_state
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.runs import run_dates
from airflow_rest_api.services.task_instances import rendered_fields

_RULE = "# " + "-" * 58


def printed(dag_id: str, task_id: str, moment: datetime, *, caller: Caller) -> str:
    """Return the task's rendered fields: those of the run of this date, or as they would be in one.

    Raises `Printed` where there is no such task, or no run of this date and the caller may not have fields rendered;
    and what `rendered_fields` raises.
    """
    run_id = run_dates.run_id_at(dag_id, moment)
    if run_id is None:
        task_state.require_task(dag_id, task_id)
        return blocks(_as_they_would_be(dag_id, task_id, moment, caller))
    try:
        found = rendered_fields.get_rendered_fields(
            dag_id, run_id, task_id, map_index=-1, source=rendered_fields.AUTO, caller=caller
        )
    except errors.TaskInstanceNotFound:
        task_state.require_task(dag_id, task_id)
        raise
    return blocks(found["fields"])


def _as_they_would_be(dag_id: str, task_id: str, moment: datetime, caller: Caller) -> Mapping[str, Any]:
    try:
        found = rendered_fields.get_rendered_fields_at(dag_id, task_id, moment, caller=caller)
    except errors.Denied as refusal:
        missing = f"DagRun for {dag_id} with run_id or logical_date of '{moment.isoformat()}' not found."
        raise Printed(f"{missing} {refusal.detail}") from refusal
    fields: Mapping[str, Any] = found["fields"]
    return fields


def blocks(fields: Any) -> str:
    """Return one block for each field. Airflow's database may hold something else than fields, which has none."""
    if not isinstance(fields, Mapping):
        return ""
    return "".join(f"{_RULE}\n# property: {name}\n{_RULE}\n{value}\n\n" for name, value in fields.items())
