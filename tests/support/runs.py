"""Fresh runs, for tests that change what they look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import count
from typing import Any
from uuid import uuid4

from tests.support.scenario import Run

_numbers = count(1)


def new_run(
    dag_id: str = "manual",
    *,
    run_id: str | None = None,
    state: str = "queued",
    logical_date: datetime | None = None,
    task_states: Mapping[str, str | None] | None = None,
    **options: Any,
) -> Run:
    """Insert a run, with its task instances moved to `task_states` (`task_id` or `task_id[map_index]` → state).

    `options` go to Airflow's `create_dagrun` (`conf`, `note`, `run_after`, …). The run has no logical date unless
    one is given. Two runs made in the same way differ in nothing but ids, number and the time of their making.
    """
    from airflow.utils.session import create_session

    from tests.support import seed_runs

    names = Run(dag_id, run_id or f"manual__fresh-{next(_numbers)}-{uuid4().hex[:8]}")
    begin = datetime(2026, 2, 1, tzinfo=timezone.utc)
    options.setdefault("run_after", logical_date or begin)
    with create_session(scoped=False) as session:
        run = seed_runs.create(session, names, logical_date, state, **options)
        seed_runs.set_states(session, run, task_states or {}, begin)
    return names
