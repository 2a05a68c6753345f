"""The scenario's rows beside runs: event log, rendered fields, logs, warnings, triggers, pools."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.models.connection import Connection
from airflow.models.dagrun import DagRun
from airflow.models.dagwarning import DagWarning
from airflow.models.log import Log
from airflow.models.pool import Pool
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.variable import Variable
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from tests.support.canaries import CONNECTIONS, VARIABLES
from tests.support.scenario import SCENARIO, Run
from tests.support.seed_runs import day, one

EXAMPLE_CONNECTION = {
    "conn_id": "example_mirror",
    "conn_type": "http",
    "description": "A mirror of the reports.",
    "host": "mirror.invalid",
    "login": "airflow",
    "schema": "https",
    "port": 8443,
    "password": "made-up-password",
    "extra": json.dumps({"region": "north", "api_token": "made-up-token"}),
}
LOGGED = {"event": "Rows: 42", "level": "info", "logger": "task.stdout"}


def insert_rows(session: Session) -> None:
    """Insert them all."""
    _event_log(session)
    _rendered_fields(session)
    _logs(session)
    _deferral(session)
    _secrets(session)
    Pool.create_or_update_pool(
        "narrow", slots=2, description="Few slots.", include_deferred=False, session=session
    )
    session.add(DagWarning("etl", "non-existent pool", "The pool 'nowhere' does not exist."))


def run_of(session: Session, names: Run) -> DagRun:
    """The row of a run of the scenario."""
    query = select(DagRun).where(DagRun.dag_id == names.dag_id, DagRun.run_id == names.dag_run_id)
    return session.scalars(query).one()


def _event_log(session: Session) -> None:
    names = SCENARIO.failed
    events = [
        {"event": "trigger_dag_run", "dag_id": "manual", "owner": "admin"},
        {"event": "cli_migratedb", "owner": "root"},
        {"event": "patch_dag", "dag_id": "etl", "owner": "op"},
        {"event": "patch_dag", "dag_id": "removed", "owner": "admin"},
        {"event": "create_variable", "owner": "op"},
        {"event": "deleted", "dag_id": "no_such_dag", "owner": None},
    ]
    task = {"dag_id": names.dag_id, "run_id": names.dag_run_id, "task_id": SCENARIO.retried_task}
    for number in (1, 2, 3):
        events.append(
            {"event": "running", **task, "try_number": number, "map_index": -1, "owner": "warehouse"}
        )
        events.append(
            {"event": "failed", **task, "try_number": number, "map_index": -1, "owner": "warehouse"}
        )
    for number, event in enumerate(events):
        _add_event(session, number, event)


def _add_event(session: Session, number: int, event: dict) -> None:
    extra = json.dumps({"method": "POST", "number": number}) if number % 2 == 0 else None
    row = Log(event=event["event"], extra=extra)
    for name, value in event.items():
        setattr(row, name, value)
    owner = event["owner"]
    row.owner_display_name = owner and f"{owner.title()} (display)"
    row.dttm = day(5) + timedelta(minutes=7 * number)
    row.logical_date = day(6, 1, 30) if "run_id" in event else None
    session.add(row)


def _rendered_fields(session: Session) -> None:
    wanted = [
        (SCENARIO.succeeded, "load.orders", {"bash_command": "echo 10", "env": {"MODE": "full"}}),
        (SCENARIO.example, "runme_0", {"bash_command": 'echo "example"', "env": None}),
        (SCENARIO.mapped_run, "double[0]", {"op_args": [], "op_kwargs": {"number": 1}}),
    ]
    for names, name, fields in wanted:
        instance = one(session, run_of(session, names), name)
        # By the table: the constructor wants a task with templates, of which this is what came out.
        session.execute(
            insert(RenderedTaskInstanceFields.__table__).values(
                dag_id=instance.dag_id,
                task_id=instance.task_id,
                run_id=instance.run_id,
                map_index=instance.map_index,
                rendered_fields=fields,
            )
        )


def _logs(session: Session) -> None:
    folder = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
    tries = [(SCENARIO.failed, SCENARIO.retried_task, "", number) for number in (1, 2, 3)]
    tries += [(SCENARIO.example, f"runme_{number}", "", 1) for number in range(3)]
    tries += [(SCENARIO.mapped_run, "double", "map_index=0/", 1)]
    for names, task_id, index, number in tries:
        path = (
            folder
            / f"dag_id={names.dag_id}/run_id={names.dag_run_id}/task_id={task_id}/{index}attempt={number}.log"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in _lines(number)))


def _lines(number: int) -> list[dict]:
    return [
        {
            "timestamp": f"2026-01-07T0{number}:00:00.000001Z",
            "event": f"Try {number} starts",
            "level": "info",
        },
        {"timestamp": f"2026-01-07T0{number}:00:01Z", **LOGGED},
        {"timestamp": f"2026-01-07T0{number}:00:02Z", "event": "It did not work: ü", "level": "error"},
    ]


def _secrets(session: Session) -> None:
    for name, (password, extra) in CONNECTIONS.items():
        place = {"conn_type": "http", "host": f"{name}.invalid", "login": "airflow"}
        session.add(Connection(conn_id=name, **place, password=password, extra=json.dumps(extra)))
    # The connection that the contract's examples speak of, and that may be revealed: nobody looks for its secrets.
    session.add(Connection(**EXAMPLE_CONNECTION))
    for key, value in VARIABLES.items():
        session.add(Variable(key, value))
    session.add(Variable("target_table", "warehouse.events", "Where the events go."))


def _deferral(session: Session) -> None:
    waiting: TaskInstance = one(session, run_of(session, SCENARIO.mapped_run), "say[2]")
    trigger = Trigger(
        "airflow.providers.standard.triggers.temporal.DateTimeTrigger", {"moment": "2026-01-02"}
    )
    trigger.created_date = day(2, 2)
    session.add(trigger)
    session.flush()
    waiting.trigger_id = trigger.id
    waiting.trigger_timeout = day(3)
    waiting.next_method = "execute_complete"
