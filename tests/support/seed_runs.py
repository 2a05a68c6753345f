"""The scenario's runs and task instances, made by Airflow's own `create_dagrun` and then moved to their states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models.backfill import Backfill, BackfillDagRun, ReprocessBehavior
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskmap import TaskMap
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.scenario import SCENARIO, Run

FINISHED = {TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.UP_FOR_RETRY}
STARTED = {
    *FINISHED,
    TaskInstanceState.RUNNING,
    TaskInstanceState.DEFERRED,
    TaskInstanceState.UP_FOR_RESCHEDULE,
}


def day(number: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time in January 2026."""
    return datetime(2026, 1, number, hour, minute, tzinfo=timezone.utc)


def first_generation(session: Session) -> None:
    """Insert the runs of DAG versions that the second parse replaces."""
    run = create(session, SCENARIO.old_version, day(3), "success")
    set_states(
        session, run, {"old_task": "success", "first_task": "success", "kept_task": "success"}, day(3, 1)
    )
    removed = create(session, Run("removed", "manual__2026-01-03T00:00:00+00:00"), day(3), "failed")
    set_states(session, removed, {"only": "failed"}, day(3, 1))


def second_generation(session: Session) -> None:
    """Insert all other runs."""
    _example(session)
    _etl(session)
    _mapped(session)
    _others(session)


def create(session: Session, names: Run, logical_date: datetime | None, state: str, **options: Any) -> DagRun:
    """Make a run as Airflow makes it, with its task instances; `options` go to `create_dagrun`."""
    dag = serialized(session, names.dag_id)
    interval = dag.timetable.infer_manual_data_interval(run_after=logical_date) if logical_date else None
    after = options.pop("run_after", None) or logical_date or day(10)
    defaults: dict[str, Any] = {
        "data_interval": interval,
        "run_type": DagRunType.from_run_id(names.dag_run_id),
        "triggered_by": DagRunTriggeredByType.REST_API,
        "triggering_user_name": "admin",
    }
    run = dag.create_dagrun(
        run_id=names.dag_run_id,
        logical_date=logical_date,
        run_after=after,
        state=DagRunState.QUEUED,
        session=session,
        **{**defaults, **options},
    )
    run.state = DagRunState(state)
    run.queued_at = after
    run.start_date = None if state == "queued" else after + timedelta(seconds=5)
    run.end_date = after + timedelta(minutes=30, milliseconds=250) if state in ("success", "failed") else None
    session.flush()
    return run


def serialized(session: Session, dag_id: str) -> SerializedDAG:
    """The newest version of a DAG."""
    dag = DBDagBag(load_op_links=False).get_latest_version_of_dag(dag_id, session=session)
    if dag is None:
        raise LookupError(f"The scenario has no DAG '{dag_id}'")
    return dag


def set_states(session: Session, run: DagRun, states: Mapping[str, str | None], begin: datetime) -> None:
    """Move task instances, named `task_id` or `task_id[map_index]`, to states, with the times that go with them."""
    for offset, (name, state) in enumerate(states.items()):
        for instance in _named(session, run, name):
            _move(
                instance,
                None if state is None else TaskInstanceState(state),
                begin + timedelta(minutes=offset),
            )
    session.flush()


def one(session: Session, run: DagRun, name: str) -> TaskInstance:
    """The task instance named `task_id` or `task_id[map_index]`."""
    (instance,) = _named(session, run, name)
    return instance


def _named(session: Session, run: DagRun, name: str) -> list[TaskInstance]:
    task_id, _, index = name.rstrip("]").partition("[")
    query = select(TaskInstance).where(
        TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id, TaskInstance.task_id == task_id
    )
    if index:
        query = query.where(TaskInstance.map_index == int(index))
    found = list(session.scalars(query.order_by(TaskInstance.map_index)))
    if not found:
        raise LookupError(f"The run '{run.run_id}' of '{run.dag_id}' has no task instance '{name}'")
    return found


def _move(instance: TaskInstance, state: TaskInstanceState | None, begin: datetime) -> None:
    instance.state = state
    if state is not None:
        instance.scheduled_dttm = begin - timedelta(seconds=3)
    if state in STARTED or state == TaskInstanceState.QUEUED:
        instance.queued_dttm = begin - timedelta(seconds=2)
    if state in STARTED:
        instance.start_date, instance.try_number = begin, max(1, instance.try_number)
        instance.hostname, instance.unixname, instance.pid = "worker-1", "airflow", 4711
    if state in FINISHED:
        instance.end_date = begin + timedelta(seconds=42, milliseconds=500)
        instance.set_duration()


def _example(session: Session) -> None:
    names = SCENARIO.example
    run = create(
        session, names, day(1), "success", conf={"example_key": "from_conf"}, note="The example run."
    )
    states = {f"runme_{number}": "success" for number in range(3)}
    states |= {"run_after_loop": "success", "also_run_this": "success", "this_will_skip": "skipped"}
    set_states(session, run, {**states, "run_this_last": "skipped"}, day(1, 1))
    create(session, Run(names.dag_id, "scheduled__2026-01-02T00:00:00+00:00"), day(2), "queued")


def _etl(session: Session) -> None:
    success = _scheduled(session, SCENARIO.succeeded, day(5, 1, 30), "success")
    every = ("start", "load.orders", "load.customers", "check", "report")
    set_states(session, success, dict.fromkeys(every, "success"), day(6, 1, 31))
    _retried(session, _scheduled(session, SCENARIO.failed, day(6, 1, 30), "failed"))
    _in_flight(session, _scheduled(session, SCENARIO.running, day(7, 1, 30), "running"))
    create(session, SCENARIO.queued, None, "queued", run_after=day(9), conf={"limit": 3}, note="Waits.")
    _backfilled(session)


def _scheduled(session: Session, names: Run, date: datetime, state: str) -> DagRun:
    return create(
        session,
        names,
        date,
        state,
        run_after=date + timedelta(days=1),
        data_interval=(date, date + timedelta(days=1)),
        triggered_by=DagRunTriggeredByType.TIMETABLE,
        triggering_user_name=None,
    )


def _retried(session: Session, run: DagRun) -> None:
    set_states(session, run, {"start": "success"}, day(7, 1, 31))
    task = SCENARIO.retried_task
    for number in (1, 2):
        set_states(session, run, {task: "up_for_retry"}, day(7, 1 + number))
        instance = one(session, run, task)
        instance.try_number = number
        instance.prepare_db_for_next_try(session)
        session.flush()
    set_states(session, run, {task: "failed", "load.customers": "success"}, day(7, 4))
    instance = one(session, run, task)
    instance.try_number, instance.max_tries = 3, 2
    set_states(session, run, {"check": "upstream_failed", "report": "success"}, day(7, 5))


def _in_flight(session: Session, run: DagRun) -> None:
    states = {"start": "success", "load.orders": "running", "load.customers": "up_for_retry", "check": None}
    set_states(session, run, {**states, "report": "scheduled"}, day(8, 1, 31))
    one(session, run, "load.orders").note = "Takes longer than usual."


def _backfilled(session: Session) -> None:
    date = datetime(2025, 12, 3, 1, 30, tzinfo=timezone.utc)
    backfill = Backfill(
        dag_id="etl",
        from_date=date,
        to_date=date,
        dag_run_conf={},
        reprocess_behavior=ReprocessBehavior.NONE,
        triggering_user_name="op",
    )
    session.add(backfill)
    session.flush()
    run = create(
        session,
        SCENARIO.backfilled,
        date,
        "success",
        backfill_id=backfill.id,
        triggered_by=DagRunTriggeredByType.BACKFILL,
        triggering_user_name="op",
    )
    session.add(BackfillDagRun(backfill_id=backfill.id, dag_run_id=run.id, logical_date=date, sort_ordinal=1))
    set_states(session, run, {"start": "removed", "load.orders": "restarting", "check": "queued"}, date)


def _mapped(session: Session) -> None:
    run = create(session, SCENARIO.mapped_run, day(2), "failed")
    task = serialized(session, "mapped").get_task("double")
    session.add(TaskMap("mapped", "numbers", run.run_id, -1, 3, None))
    session.flush()
    TaskMap.expand_mapped_task(task, run.run_id, session=session)
    states = {"numbers": "success", "double[0]": "success", "double[1]": "failed", "double[2]": "success"}
    states |= {"total": "upstream_failed", "say[0]": "success", "say[1]": "running", "say[2]": "deferred"}
    set_states(session, run, {**states, "say[3]": "up_for_reschedule"}, day(2, 1))
    for index, word in enumerate(("one", "two", "three")):
        one(session, run, f"say[{index}]")._rendered_map_index = word  # the public name is read-only
    earlier = one(session, run, "double[1]")
    earlier.prepare_db_for_next_try(session)
    earlier.try_number = 2
    session.flush()
    create(session, Run("mapped", "manual__2026-01-05T00:00:00+00:00"), day(5), "queued")


def _others(session: Session) -> None:
    run = create(session, SCENARIO.new_version, day(4), "success")
    set_states(session, run, {"new_task": "success", "kept_task": "success"}, day(4, 1))
    asset = create(
        session,
        SCENARIO.asset_triggered,
        None,
        "success",
        run_after=day(8),
        triggered_by=DagRunTriggeredByType.ASSET,
        triggering_user_name=None,
    )
    set_states(session, asset, {"use": "success"}, day(8, 1))
    for number in range(1, 13):
        names = Run("manual", f"manual__2026-01-{number:02}T12:00:00+00:00")
        state = ("success", "failed", "running", "queued")[number % 4]
        made = create(session, names, day(number, 12), state, triggering_user_name=("user", "op")[number % 2])
        set_states(
            session,
            made,
            {"first": "success", "second": "failed" if state == "failed" else None},
            day(number, 12),
        )
