"""The old call that makes backfills, over HTTP; `tests/live/` runs one for real."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from sqlalchemy import update

from airflow_rest_api.legacy.clairvoyant import backfills
from airflow_rest_api.services.database import unit_of_work
from tests.handlers.test_backfill import runs_of, set_runs
from tests.support.old_running import meanwhile, printed, set_state, until
from tests.support.scenario import Run
from tests.support.shared_calls_of.backfill import DAILY

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
DATES = {"dag_id": DAILY, "start_date": "2026-02-01", "end_date": "2026-02-03"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody schedules in these tests, so that nothing ends by itself."""
    monkeypatch.setattr(backfills, "SECONDS", 0)


def newest(rest):
    return rest.get("/backfills", params={"order_by": "-id"}).json()["backfills"][0]


def every_task(rest):
    """The lines of a dry run about the tasks of the daily DAG."""
    tasks = rest.get(f"/dags/{DAILY}/tasks").json()["tasks"]
    return [f"Task {entry['task_id']}\n" for entry in sorted(tasks, key=lambda entry: entry["task_id"])]


def made(rest):
    """The number of the backfill of the daily DAG, as soon as there is one."""
    until(lambda: newest(rest)["dag_id"] == DAILY)
    return newest(rest)["id"]


def complete(backfill_id):
    """Do what the scheduler does when all runs have ended."""
    from airflow.models.backfill import Backfill

    with unit_of_work() as session:
        session.execute(update(Backfill).where(Backfill.id == backfill_id).values(completed_at=MARCH))


class TestBackfill:
    @pytest.fixture
    def backfill(self, old):
        return lambda **query: old("clairvoyant", "backfill", {"dag_id": DAILY, **query})

    def test_runs_are_made_for_the_dates_and_named_when_the_time_is_up(self, rest, backfill):
        told = backfill(**DATES, donot_pickle="on")
        stdout, stderr = printed(told)
        assert stdout == (
            "[backfill progress] | finished run 0 of 3 | running: 0 | succeeded: 0 | failed: 0 | skipped: 0\n"
        )
        number = newest(rest)["id"]
        assert stderr == (
            f"The backfill {number} goes on: 3 of its runs have not ended. get_backfill tells how far it is, "
            f"cancel_backfill ends it. Nothing is started as long as the DAG '{DAILY}' is paused.\n"
            "The argument 'donot_pickle' has no meaning on Airflow 3 and was ignored."
        )
        assert told.json()["airflow_cmd"] == (
            f"airflow backfill --start_date 2026-02-01 --end_date 2026-02-03 --donot_pickle {DAILY}"
        )
        assert list(runs_of(rest, DAILY)) == ["2026-02-01", "2026-02-02", "2026-02-03"]
        # As many at once as the DAG's author allows.
        assert newest(rest)["max_active_runs"] == rest.get(f"/dags/{DAILY}").json()["max_active_runs"]
        assert "may have one at a time" in printed(backfill(**DATES))[1]

    def test_their_end_is_waited_for_and_failures_are_named(self, monkeypatch, rest, backfill):
        monkeypatch.setattr(backfills, "SECONDS", 60)

        def end():
            number = made(rest)
            set_runs(["success", "failed", "success"])
            (run,) = runs_of(rest, DAILY, last="2026-02-02T00:00:00Z", first="2026-02-02T00:00:00Z").values()
            set_state(Run(DAILY, run["dag_run_id"]), "runme_1", "failed")

            # The scheduler notices only after a while.
            time.sleep(0.7)
            complete(number)
            completed.append(time.monotonic())

        completed = []
        with meanwhile(end):
            stdout, stderr = printed(backfill(**DATES))
            assert completed
        assert stdout == (
            "[backfill progress] | finished run 3 of 3 | running: 0 | succeeded: 2 | failed: 1 | skipped: 0\n"
            "Backfill done. Exiting.\n"
        )
        assert stderr == (
            f"{'-' * 51}\nSome task instances failed:\n"
            f"<TaskInstance: {DAILY}.runme_1 2026-02-02T00:00:00+00:00 [failed]>"
        )

    def test_runs_that_fail_without_a_task_are_counted(self, monkeypatch, rest, backfill):
        monkeypatch.setattr(backfills, "SECONDS", 60)
        with meanwhile(lambda: rest.put(f"/backfills/{made(rest)}/cancel")):
            stdout, stderr = printed(backfill(**DATES))
        assert stdout.endswith("failed: 3 | skipped: 0\nBackfill done. Exiting.\n")
        assert stderr == "Of the runs 3 failed without a failed task."

    @pytest.mark.parametrize("name", ["start_date", "end_date"])
    def test_one_date_alone_counts_for_both(self, rest, backfill, name):
        told = printed(backfill(**{name: "2026-02-02"}, dry_run="on"))
        first = f"Dry run of DAG {DAILY} on 2026-02-02T00:00:00+00:00\n"
        assert told == ("".join([first, *every_task(rest)]), "")

    def test_a_dry_run_tells_the_dates_and_makes_nothing(self, rest, backfill):
        days = [f"Dry run of DAG {DAILY} on 2026-02-0{day}T00:00:00+00:00\n" for day in (1, 2, 3)]
        assert printed(backfill(**DATES, dry_run="on")) == ("".join([*days, *every_task(rest)]), "")
        told = printed(backfill(**DATES, dry_run="on", task_regex="after_loop"))[0]
        tasks = [f"Task {name}\n" for name in ("run_after_loop", "runme_0", "runme_1", "runme_2")]
        assert told == "".join([*days, *tasks])
        alone = {"dry_run": "on", "task_regex": "after_loop", "ignore_dependencies": "on"}
        assert printed(backfill(**DATES, **alone))[0] == "".join([*days, tasks[0]])
        assert runs_of(rest, DAILY) == {}

    def test_only_tasks_that_match_are_executed(self, rest, backfill):
        printed(backfill(**DATES, task_regex="^runme_[01]$"))
        (run, *_) = runs_of(rest, DAILY).values()
        found = rest.get(f"/dags/{DAILY}/dagRuns/{run['dag_run_id']}").json()
        assert found["selection"]["task_ids"] == ["runme_0", "runme_1"]

    @pytest.mark.parametrize(
        ("regex", "expected"),
        [({}, {"success": 7}), ({"task_regex": "^runme_[01]$"}, {"success": 2, "skipped": 5})],
        ids=["all", "some"],
    )
    def test_tasks_are_marked_without_being_run(self, rest, backfill, regex, expected):
        stdout, _ = printed(backfill(**DATES, **regex, mark_success="on"))
        assert "finished run 0 of 3" in stdout
        for run in runs_of(rest, DAILY).values():
            found = rest.get(f"/dags/{DAILY}/dagRuns/{run['dag_run_id']}/taskInstances").json()[
                "task_instances"
            ]
            assert Counter(entry["state"] for entry in found) == expected
            assert {entry["try_number"] for entry in found} == {0}

    def test_of_what_depends_on_the_past_failed_runs_run_again(self, rest, old):
        assert rest.put(f"/backfills/{newest(rest)['id']}/cancel").status_code == 200
        query = {"dag_id": "etl", "start_date": "2026-01-05", "end_date": "2026-01-09"}
        told, _ = printed(old("clairvoyant", "backfill", {**query, "dry_run": "on"}))
        days = [line.split()[-1][:10] for line in told.splitlines() if line.startswith("Dry run")]
        # The one of the 5th has succeeded, that of the 6th has failed, that of the 7th runs.
        assert days == ["2026-01-06", "2026-01-08"]
        stdout, _ = printed(old("clairvoyant", "backfill", query))
        assert "finished run 0 of 2" in stdout
        assert newest(rest)["reprocess_behavior"] == "failed"

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ({}, ("", "airflow.exceptions.AirflowException: Provide a start_date and/or end_date")),
            ({"start_date": "2026-02-03", "end_date": "2026-02-01"}, ("", "lies before start_date")),
            ({"start_date": "soon"}, ("", "start_date")),
            ({"start_date": "2026-02-01T12:00:00"}, ("No run dates were found for the given dates", "")),
            ({"start_date": "2126-02-01"}, ("", "lie ahead")),
            ({"start_date": "0001-01-01", "end_date": "9999-12-31"}, ("", "more than 2000 runs")),
            (
                {"start_date": "2026-02-01", "task_regex": "nothing"},
                ("", "There are no tasks that match 'nothing'"),
            ),
            ({"start_date": "2026-02-01", "task_regex": "("}, ("", "invalid regular expression")),
            ({"start_date": "2026-02-01", "dag_id": "manual"}, ("", "tells no dates")),
        ],
        ids=["none", "order", "date", "no_run", "ahead", "many", "no_task", "regex", "schedule"],
    )
    def test_what_makes_no_runs_is_told(self, rest, backfill, query, told):
        before = newest(rest)["id"]
        for found, expected in zip(printed(backfill(**query)), told, strict=True):
            assert expected in found
            assert bool(expected) is bool(found)
        assert newest(rest)["id"] == before

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ({"start_date": "2026-02-01", "dag_id": "manual"}, "tells no dates"),
            ({"start_date": "2026-02-01T12:00:00"}, "No run dates were found"),
            ({"start_date": "2126-02-01"}, "lie ahead"),
            ({"start_date": "0001-01-01", "end_date": "9999-12-31"}, "more than 2000 runs"),
        ],
        ids=["schedule", "no_run", "ahead", "many"],
    )
    def test_a_dry_run_has_the_old_text_also_where_no_run_is_possible(self, backfill, query, reason):
        stdout, stderr = printed(backfill(**query, dry_run="on"))
        dag_id, date = query.get("dag_id", DAILY), f"{query['start_date']:T<11}"
        first, *tasks = stdout.splitlines()
        assert first.startswith(f"Dry run of DAG {dag_id} on {date}")
        assert tasks
        assert all(line.startswith("Task ") for line in tasks)
        assert reason in stderr

    def test_a_dry_run_names_the_tasks_that_were_chosen_also_where_no_run_is_possible(self, backfill):
        stdout, _ = printed(backfill(start_date="2126-02-01", task_regex="^runme_0$", dry_run="on"))
        assert stdout.splitlines()[1:] == ["Task runme_0"]

    def test_who_may_not_is_refused_and_nothing_is_made(self, rest, old, backfill, without):
        assert old("clairvoyant", "backfill", DATES, role="viewer").status_code == 403
        without("PUT", "TASK_INSTANCE")
        assert backfill(**DATES, task_regex="nothing").status_code == 403
        assert backfill(**DATES, mark_success="on").status_code == 403
        assert runs_of(rest, DAILY) == {}

    def test_of_two_at_once_one_wins(self, rest, old):
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(old, "clairvoyant", "backfill", form=DATES) for _ in range(2)]
            told = sorted(printed(call.result())[0] for call in calls)
        assert (told[0], "finished run 0 of 3" in told[1]) == ("", True)
