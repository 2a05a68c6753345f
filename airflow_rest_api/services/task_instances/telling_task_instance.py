"""The telling task instance: the one of a task's instances that says most about the task, for those who ask for one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE, Entry

# As Airflow's grid sums up a mapped task (`state_priority` in its `common/parameters.py`).
_FIRST = (
    "failed",
    "upstream_failed",
    "up_for_retry",
    "up_for_reschedule",
    "running",
    "restarting",
    "deferred",
    "awaiting_input",
    "queued",
    "scheduled",
    None,
    "success",
    "skipped",
    "removed",
)
_RANKS = {state: rank for rank, state in enumerate(_FIRST)}


def telling_state(states: Collection[str | None]) -> str | None:
    """Return the state that Airflow's grid shows for a task whose instances are in these states."""
    return min(states, key=_rank, default=None)


def _rank(state: str | None) -> int:
    return _RANKS.get(state, len(_RANKS))


def get_telling_task_instance(dag_id: str, dag_run_id: str, task_id: str) -> Entry:
    """Return the instance of a task, and of a mapped one the first in the state that Airflow's grid shows for it.

    So it has failed when any has, and it has succeeded when none goes on. Raises `TaskInstanceNotFound`.
    """
    statement = select(TASK_INSTANCE.c.state, TASK_INSTANCE.c.map_index)
    with reading() as session:
        rows = session.execute(statement.where(*place.of_task(dag_id, dag_run_id, task_id))).all()
        ranked = sorted((_rank(state), map_index) for state, map_index in rows)
        index = ranked[0][1] if ranked else -1
        found = task_instance_rows.one(session, dag_id, dag_run_id, task_id, index)
    if found is None:
        raise errors.TaskInstanceNotFound(dag_id, dag_run_id, task_id)
    return found
