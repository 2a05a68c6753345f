"""What the tests of task instances share: filters and orders to ask for, paths, and a change in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.scenario import Run

ORDERS = [
    *(
        "id",
        "state",
        "duration",
        "start_date",
        "end_date",
        "map_index",
        "try_number",
        "logical_date",
        "run_after",
    ),
    *("data_interval_start", "data_interval_end", "rendered_map_index", "operator"),
]
MOMENTS = [
    "2026-01-02T01:02:00Z",
    "2026-01-07T04:00:00Z",
    "2026-01-08T02:31:42.5+01:00",
    "2040-01-01T00:00:00Z",
]
BOUNDS = ["gte", "gt", "lte", "lt"]
SHARED_FILTERS: list[dict[str, Any]] = [
    {"state": "success"},
    {"state": ["failed", "running"]},
    {"state": "none"},
    {"state": ["no_status", "queued"]},
    {"pool": "default_pool"},
    {"pool": ["default_pool", "none"]},
    {"pool": "none"},
    {"pool_name_pattern": "DEFAULT"},
    {"pool_name_prefix_pattern": "default"},
    {"queue": "slow"},
    {"queue_name_pattern": "slo%"},
    {"queue_name_prefix_pattern": "slow|fast"},
    {"executor": "LocalExecutor"},
    {"version_number": 1},
    {"version_number": [2, 3]},
    {"try_number": [0, 2]},
    {"operator": ["BashOperator", "EmptyOperator"]},
    {"operator_name_pattern": "task"},
    {"operator_name_prefix_pattern": "@task"},
    {"operator_name_prefix_pattern": "~"},
    {"map_index": [0, 1]},
    {"map_index": -1},
    {"rendered_map_index_pattern": "t"},
    {"rendered_map_index_pattern": "~"},
    {"rendered_map_index_prefix_pattern": "one|2"},
    {"duration_gte": 42.5},
    {"duration_gt": 42.5},
    {"duration_lte": 42.5},
    {"duration_lt": 1},
    {"duration_gte": 0, "duration_lte": 0},
    {"updated_at_gte": "2026-01-01T00:00:00Z"},
    {"updated_at_lt": "2026-01-01T00:00:00Z"},
    {"updated_at_gt": "2026-01-01T00:00:00Z", "updated_at_lte": "2040-01-01T00:00:00Z"},
    *(
        {f"{name}_{bound}": moment}
        for name in ("run_after", "logical_date", "start_date", "end_date")
        for bound in BOUNDS
        for moment in MOMENTS
    ),
]


def name_of(params: Mapping[str, Any]) -> str:
    """The name of a test that asks for this."""
    return "&".join(f"{name}={value}" for name, value in params.items())


def at(run: Run, *parts: Any) -> str:
    """The path of a run's task instances, or of what lies below."""
    return "/".join([f"{run.path}/taskInstances", *map(str, parts)])


def changed(run: Run, task: str, /, **values: Any) -> None:
    """Change the columns of a task instance."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session(scoped=False) as session:
        chosen = (TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.dag_run_id)
        session.execute(update(TaskInstance).where(*chosen, TaskInstance.task_id == task).values(**values))
