"""Logical dates in the future, or outside the dates of a DAG and its tasks: named by explain and by dry runs."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tests.support import parser

LIMITED = """
from datetime import datetime, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG


def day(month):
    return datetime(2020, month, 1, tzinfo=timezone.utc)


with DAG("limited", schedule=None, start_date=day(1), end_date=day(12), is_paused_upon_creation=False):
    EmptyOperator(task_id="always")
    EmptyOperator(task_id="from_june", start_date=day(6))
    EmptyOperator(task_id="until_march", end_date=day(3))
"""
EARLY, LATE = "logical_date_before_start_date", "logical_date_after_end_date"
AHEAD = "logical_date_lies_ahead"
DEAD = {"no_scheduler_alive", "no_dag_processor_alive"}
CASES = [
    ("2019-06-01", {EARLY: ["always", "from_june", "until_march"]}),
    ("2021-06-01", {LATE: ["always", "from_june", "until_march"]}),
    ("2020-02-01", {EARLY: ["from_june"]}),
    ("2020-04-01", {EARLY: ["from_june"], LATE: ["until_march"]}),
    ("2020-07-01", {LATE: ["until_march"]}),
    (None, {}),
]
pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]


@pytest.fixture(autouse=True)
def limited(tmp_path, restored_database):
    (tmp_path / parser.FILE).write_text(LIMITED)
    parser.parse(tmp_path, parser.FILE, 0.5)


def triggered(rest, date, dag_id="limited", **params):
    body = {"logical_date": date and f"{date}T00:00:00Z", "dag_run_id": "dated"}
    answer = rest.post(f"/dags/{dag_id}/dagRuns", json=body, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def explained(rest, dag_id="limited"):
    return rest.get(f"/dags/{dag_id}/dagRuns/dated", params={"explain": True}).json()["explanation"]


def causes(explanation):
    return {cause["code"]: cause for cause in explanation["causes"] if cause["code"] not in DEAD}


@pytest.mark.parametrize(("date", "absent"), CASES)
def test_a_dry_run_names_the_dates(rest, date, absent):
    preview = triggered(rest, date, dry_run=True)["preview"]
    assert set(preview["held_back_by"]) - DEAD == set(absent)
    assert preview["task_instances"] == 3 - len({task for tasks in absent.values() for task in tasks})


@pytest.mark.parametrize(("date", "absent"), CASES)
@pytest.mark.parametrize("state", ["queued", "success"])
def test_explain_names_the_dates_also_when_the_run_has_ended(rest, date, absent, state):
    triggered(rest, date)
    if state != "queued":
        assert rest.patch("/dags/limited/dagRuns/dated", json={"state": state}).status_code == 200
    found = causes(explained(rest))
    assert {code: sorted(cause["facts"]["task_ids"]) for code, cause in found.items()} == absent
    for cause in found.values():
        assert cause["facts"]["logical_date"] == f"{date}T00:00:00Z"
        assert f"'{cause['facts']['task_ids'][0]}'" in cause["detail"] or "success without" in cause["detail"]


def test_a_sentence_names_both_dates_and_the_outcome(rest):
    triggered(rest, "2019-06-01")
    assert causes(explained(rest))[EARLY]["detail"] == (
        "The logical date 2019-06-01T00:00:00+00:00 is before the start_date 2020-01-01T00:00:00+00:00 of the tasks"
        " of the DAG 'limited': Airflow makes no instances of them."
        " The run ends in success without executing a task."
    )


def test_a_date_in_the_future_holds_the_run_and_its_tasks(rest):
    preview = triggered(rest, "2040-01-01", "manual", dry_run=True)["preview"]
    assert set(preview["held_back_by"]) - DEAD == {AHEAD}
    triggered(rest, "2040-01-01", "manual")
    explanation = explained(rest, "manual")
    assert causes(explanation)[AHEAD]["until"] == "2040-01-01T00:00:00Z"
    assert AHEAD in causes(explanation["task_instances"][0])


def test_a_date_in_the_future_holds_no_task_that_is_scheduled(rest, new_run):
    date = datetime(2040, 1, 1, tzinfo=timezone.utc)
    states = {"first": "scheduled", "alone": "queued"}
    past = datetime(2026, 1, 1, tzinfo=timezone.utc)
    run = new_run("manual", state="running", logical_date=date, run_after=past, task_states=states)
    told = rest.get(run.path, params={"explain": True}).json()["explanation"]
    held = {one["task_id"] for one in told["task_instances"] if AHEAD in causes(one)}
    assert held == {"second", "third"}


def test_a_backfill_has_all_tasks_whatever_their_dates(rest, new_run):
    date = datetime(2019, 6, 1, tzinfo=timezone.utc)
    run = new_run("limited", run_id="backfill__2019", logical_date=date, run_type="backfill")
    assert not causes(rest.get(run.path, params={"explain": True}).json()["explanation"])


def test_the_dry_run_of_a_restart_names_a_date_in_the_future(rest, new_run):
    date = datetime(2040, 1, 1, tzinfo=timezone.utc)
    run = new_run("manual", state="failed", logical_date=date, task_states={"first": "failed"})
    preview = rest.post(f"{run.path}/restartFailed", params={"dry_run": True}).json()["preview"]
    assert AHEAD in preview["held_back_by"]
