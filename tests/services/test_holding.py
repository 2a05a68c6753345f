"""Holding: what keeps the scheduler from a run, by what it would look at."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from airflow.jobs.job import Job
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import delete

from airflow_rest_api.services import jobs
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.explaining import holding

PAST = datetime(2026, 1, 1, tzinfo=timezone.utc)
DEAD = ["no_scheduler_alive", "no_dag_processor_alive"]
pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]


@pytest.fixture
def alive():
    """A scheduler and a DAG processor that were heard of just now."""
    with create_session(scoped=False) as session:
        session.execute(delete(Job))
        for kind in (jobs.SCHEDULER, jobs.DAG_PROCESSOR):
            session.add(job := Job())
            job.job_type, job.state, job.latest_heartbeat = kind, "running", datetime.now(timezone.utc)


def codes(dag_id="etl", run_after=PAST, **options):
    with reading() as session:
        return [cause.code for cause in holding.of_run(session, dag_id, run_after, **options)]


def change(dag_id, **values):
    with create_session(scoped=False) as session:
        for name, value in values.items():
            setattr(session.get(DagModel, dag_id), name, value)


def test_nothing_holds_a_run_that_the_scheduler_can_take(alive):
    change("etl", max_active_runs=100)
    assert codes() == []


def test_without_a_scheduler_nothing_goes_on():
    change("etl", max_active_runs=100)
    assert codes() == DEAD


def test_a_scheduler_that_was_not_heard_of_for_long_is_dead_since_then(alive):
    last = datetime.now(timezone.utc) - timedelta(hours=2)
    with create_session(scoped=False) as session:
        session.query(Job).filter_by(job_type=jobs.SCHEDULER).update({"latest_heartbeat": last})
    with reading() as session:
        first = holding.of_run(session, "etl", PAST)[0]
    assert (first.code, first.since) == ("no_scheduler_alive", last)


def test_a_paused_dag_holds_its_runs(alive):
    change("manual", is_paused=True)
    assert codes("manual") == ["dag_is_paused"]


def test_a_stale_dag_holds_its_runs(alive, scenario):
    assert "dag_is_stale" in codes(scenario.stale)


def test_a_dag_that_was_never_known_is_told(alive, scenario):
    assert codes(scenario.missing) == ["dag_is_stale"]


def test_a_time_that_lies_ahead_is_told_with_its_end(alive):
    change("etl", max_active_runs=100)
    ahead = datetime(2040, 1, 1, tzinfo=timezone.utc)
    with reading() as session:
        (cause,) = holding.of_run(session, "etl", ahead)
    assert (cause.code, cause.until) == ("run_after_lies_ahead", ahead)


def test_too_many_runs_hold_a_queued_run_and_no_running_one(alive, new_run):
    new_run("manual", state="running")
    change("manual", is_paused=False, max_active_runs=1)
    with reading() as session:
        (cause,) = holding.of_run(session, "manual", PAST)
    assert cause.code == "max_active_runs_reached"
    assert cause.facts["limit"] == 1 <= cause.facts["active"]
    assert codes("manual", state="running") == []


def test_runs_of_a_backfill_are_counted_apart(alive, new_run):
    new_run("manual", state="running")
    change("manual", is_paused=False, max_active_runs=1)
    with create_session(scoped=False) as session:
        backfill = Backfill(dag_id="manual", from_date=PAST, to_date=PAST, max_active_runs=1, is_paused=True)
        session.add(backfill)
        session.flush()
        number = backfill.id
    assert codes("manual", backfill_id=number) == ["backfill_is_paused"]
    with create_session(scoped=False) as session:
        session.get(Backfill, number).is_paused = False
    new_run("manual", state="running", backfill_id=number)
    assert codes("manual", backfill_id=number) == ["max_active_runs_reached"]


@pytest.mark.postgres
def test_it_is_told_on_postgresql(new_run):
    change("manual", is_paused=True, max_active_runs=1)
    new_run("manual", state="running")
    told = codes("manual", datetime(2040, 1, 1, tzinfo=timezone.utc))
    assert told == [
        DEAD[0],
        "dag_is_paused",
        "run_after_lies_ahead",
        "max_active_runs_reached",
        DEAD[1],
    ]
