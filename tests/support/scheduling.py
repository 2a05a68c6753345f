"""What the scheduler would do with a run, as Airflow's `DagRun.update_state` decides, without executing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUNDS = 30


def decided(
    dag_id: str,
    run_id: str,
    results: Mapping[str, str] | None = None,
    lengths: Mapping[str, int] | None = None,
) -> tuple[list[str], str, dict[str, Any]]:
    """Go through a run, undo it, and tell which tasks were started in which order, and what became of run and tasks.

    A task that is started ends at once in the state that `results` have for it, or in success; `lengths` are of what
    tasks return that others expand over.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskmap import TaskMap
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_rest_api.services.dags import structure

    started: list[str] = []
    with create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).filter_by(dag_id=dag_id, run_id=run_id)).one()
        run.dag = structure.of_run(run, session)
        run.state = "running"
        session.flush()
        for _ in range(ROUNDS):
            ready, _ = run.update_state(session=session, execute_callbacks=False)
            if run.state != "running":
                break
            for instance in sorted(ready, key=lambda ready: ready.task_id):
                started.append(instance.task_id)
                instance.try_number += 1
                if length := (lengths or {}).get(instance.task_id):
                    session.add(TaskMap(dag_id, instance.task_id, run_id, -1, length, None))
                instance.set_state((results or {}).get(instance.task_id, "success"), session=session)
            session.flush()
        state = str(run.state)
        states = {ti.task_id: ti.state and str(ti.state) for ti in run.get_task_instances(session=session)}
        session.rollback()
    return started, state, states
