"""Resetting leaves behind what Airflow's own clearing does, row by row."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from sqlalchemy import select, update

from airflow_rest_api.services.database import unit_of_work, write
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances import task_instance_reset

STATES = ("success", "failed", "upstream_failed", "skipped", "running", "queued", "up_for_retry", "deferred")
# What differs between two runs that were made alike: names, keys, moments, and the ids of traces.
DIFFERING = {"id", "run_id", "task_instance_id", "ti_id", "context_carrier", "updated_at", "queued_at"}


def instances_of(session, run):
    from airflow.models.taskinstance import TaskInstance

    of_run = select(TaskInstance).where(TaskInstance.run_id == run.dag_run_id)
    return session.scalars(of_run.order_by(TaskInstance.task_id)).unique().all()


def by_us(session, run, *, run_on_latest_version=False):
    name = (run.dag_id, run.dag_run_id)
    task_instance_reset.reset(
        session,
        {name: instances_of(session, run)},
        {name: place.structure_for_scheduling(session, *name)},
        run_on_latest_version=run_on_latest_version,
    )


def by_airflow(session, run, *, run_on_latest_version=False):
    from airflow.models.taskinstance import clear_task_instances

    clear_task_instances(
        instances_of(session, run), session, "queued", run_on_latest_version=run_on_latest_version
    )


def rows(run):
    """The rows of a run, its task instances and their tries, without what has to differ."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.models.taskreschedule import TaskReschedule

    found = {}
    with unit_of_work() as session:
        for model in (DagRun, TaskInstance, TaskInstanceHistory):
            statement = select(model.__table__).where(model.__table__.c.run_id == run.dag_run_id)
            found[model.__name__] = [
                {name: near(value) for name, value in row._mapping.items() if name not in DIFFERING}
                for row in session.execute(statement)
            ]
            found[model.__name__].sort(key=lambda row: (str(row.get("task_id")), row.get("map_index", 0)))
        found["reschedules"] = len(
            session.execute(
                select(TaskReschedule.id)
                .join(TaskInstance, TaskInstance.id == TaskReschedule.ti_id)
                .where(TaskInstance.run_id == run.dag_run_id)
            ).all()
        )
    return found


def near(value):
    """A moment of this minute stands for now, and a duration until now for any."""
    if isinstance(value, datetime) and abs((datetime.now(timezone.utc) - value).total_seconds()) < 60:
        return "now"
    return "long" if isinstance(value, float) and value > 1_000_000 else value


@pytest.mark.parametrize("state", ["failed", "success", "running", "queued"])
@pytest.mark.parametrize("kind", [pytest.param("sqlite"), pytest.param("pg", marks=pytest.mark.postgres)])
def test_what_is_left_behind_is_what_airflow_leaves(new_run, rest, kind, state):
    made = []
    for clear in (by_us, by_airflow):
        for group in (STATES[:4], STATES[4:]):
            states = dict(zip(("first", "second", "third", "alone"), group, strict=True))
            run = new_run("manual", state=state, task_states=states, conf={"a": 1})
            write(lambda session, run=run, clear=clear: clear(session, run))
            made.append(rows(run))
    assert made[:2] == made[2:]
    assert {row["state"] for row in made[0]["TaskInstance"]} == {None}
    assert {row["state"] for row in made[1]["TaskInstance"]} == {None, "restarting"}
    assert len(made[0]["TaskInstanceHistory"]) == 4


def test_a_try_that_is_in_the_history_is_not_kept_twice(new_run, rest):
    made = []
    for clear in (by_us, by_airflow):
        run = new_run("manual", state="failed", task_states={"first": "failed"})
        for _ in range(2):
            write(lambda session, run=run, clear=clear: clear(session, run))
        made.append(rows(run))
    assert made[0] == made[1]


@pytest.mark.parametrize("unusual", ["no version", "latest version"])
def test_what_is_unusual_is_left_to_airflow(new_run, rest, unusual):
    from airflow.models.taskinstance import TaskInstance

    made = []
    for clear in (by_us, by_airflow):
        run = new_run("manual", state="failed", task_states={"first": "failed"})
        if unusual == "no version":
            with unit_of_work() as session:
                mine = TaskInstance.run_id == run.dag_run_id
                session.execute(update(TaskInstance).where(mine).values(dag_version_id=None))
        write(
            lambda session, run=run, clear=clear: clear(
                session, run, run_on_latest_version=unusual == "latest version"
            )
        )
        made.append(rows(run))
    assert made[0] == made[1]
    assert all(row["dag_version_id"] for row in made[0]["TaskInstance"])
