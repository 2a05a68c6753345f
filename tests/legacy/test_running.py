"""Old calls that run and clear tasks, over HTTP; `tests/live/` runs them for real."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest

from airflow_rest_api.legacy.clairvoyant import task_running
from airflow_rest_api.services.runs import scheduling_forecast
from tests.handlers.test_backfill import runs_of
from tests.support.old_running import meanwhile, printed, refused, set_state, states, until
from tests.support.shared_calls_of.backfill import DAILY

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
DATE = "2026-03-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody schedules in these tests, so that nothing ends by itself."""
    monkeypatch.setattr(task_running, "SECONDS", 0)


class TestRun:
    @pytest.fixture
    def made(self, new_run):
        def make(dag_id="manual", **options):
            return new_run(dag_id, logical_date=MARCH, state="running", **options)

        return make

    @pytest.fixture
    def run(self, old):
        def call(task_id, dag_id="manual", **more):
            query = {"dag_id": dag_id, "task_id": task_id, "execution_date": DATE}
            return old("clairvoyant", "run", {**query, **more})

        return call

    def test_a_task_runs_in_the_run_at_the_date(self, rest, run, made):
        here = made()
        told = run("alone", subdir="/dags", local="true")
        assert printed(told) == (
            f"Running <TaskInstance: manual.alone {DATE} [success]>\nsuccess\n",
            "\n".join(
                f"The argument '{name}' has no meaning on Airflow 3 and was ignored."
                for name in ("subdir", "local")
            ),
        )
        assert told.json()["airflow_cmd"] == f"airflow run --subdir /dags --local manual alone {DATE}"
        assert states(rest, here) == {"first": None, "second": None, "third": None, "alone": "success"}

    @pytest.mark.parametrize("flag", ["force", "ignore_all_dependencies"])
    def test_one_that_has_ended_is_left_alone_unless_it_is_forced(self, rest, run, made, flag):
        here = made(task_states={"alone": "failed"})
        path = f"{here.path}/taskInstances/alone"
        before = rest.get(path).json()
        for more in ({}, {"ignore_dependencies": "on"}):
            stdout, stderr = printed(run("alone", **more))
            assert stdout == ""
            assert stderr == (
                f"Dependencies not met for <TaskInstance: manual.alone {DATE} [failed]>, dependency 'Task Instance "
                "State' FAILED: Task is in the 'failed' state which is not a valid state for execution. The task must "
                "be cleared in order to be run."
            )
        assert rest.get(path).json() == before
        assert printed(run("alone", **{flag: "on"}))[1] == ""
        assert rest.get(path).json()["try_number"] == before["try_number"] + 1

    @pytest.mark.parametrize("flag", ["ignore_dependencies", "ignore_all_dependencies"])
    def test_one_that_waits_for_others_is_left_alone_unless_told_otherwise(self, rest, run, made, flag):
        here = made(DAILY, task_states={"runme_0": "running"})
        for more in ({}, {"force": "on"}, {"ignore_depends_on_past": "on"}):
            stdout, stderr = printed(run("run_after_loop", DAILY, **more))
            assert stdout == ""
            assert "dependency 'Trigger Rule' FAILED: " in stderr
        assert states(rest, here)["run_after_loop"] is None
        assert printed(run("run_after_loop", DAILY, **{flag: "on"}))[0].endswith("\nscheduled\n")

    def test_the_past_holds_a_task_unless_told_otherwise(self, run, made, monkeypatch):
        past = {"name": "Previous Dagrun State", "reason": "it failed yesterday"}
        forecast = scheduling_forecast.Forecast(is_executed=True, unmet=[past])
        monkeypatch.setattr(scheduling_forecast, "of", lambda *_: forecast)
        made(DAILY)
        assert printed(run("runme_0", DAILY))[1] == (
            f"Dependencies not met for <TaskInstance: {DAILY}.runme_0 {DATE} [None]>, dependency 'Previous Dagrun "
            "State' FAILED: it failed yesterday"
        )
        assert printed(run("runme_0", DAILY, ignore_depends_on_past="on"))[0].endswith("\nscheduled\n")

    @pytest.mark.parametrize(
        ("state", "trouble"),
        [
            ("success", ""),
            ("skipped", ""),
            ("failed", "The task 'load.orders' of the run '{run}' ended as 'failed'; get_log tells why."),
            (
                "up_for_retry",
                "The task 'load.orders' of the run '{run}' failed and will be tried again; get_log tells why.",
            ),
        ],
    )
    def test_its_end_is_waited_for(self, monkeypatch, rest, run, made, state, trouble):
        monkeypatch.setattr(task_running, "SECONDS", 60)
        here = made("etl", task_states={"start": "success"})

        def end():
            until(lambda: states(rest, here)["load.orders"] == "scheduled")
            set_state(here, "load.orders", state)

        with meanwhile(end):
            stdout, stderr = printed(run("load.orders", "etl"))
        assert stdout == f"Running <TaskInstance: etl.load.orders {DATE} [scheduled]>\n{state}\n"
        assert stderr == trouble.format(run=here.dag_run_id)

    def test_what_goes_on_when_the_time_is_up_is_named(self, run, made):
        here = made(DAILY)
        stdout, stderr = printed(run("runme_0", DAILY))
        assert stdout.endswith("[scheduled]>\nscheduled\n")
        assert stderr == (
            f"The task 'runme_0' of the run '{here.dag_run_id}' goes on; get_task_instance tells its end. Nothing is "
            f"started as long as the DAG '{DAILY}' is paused."
        )
        assert "runme_0' is scheduled already" in printed(run("runme_0", DAILY))[1]

    def test_without_a_run_one_is_made_for_the_task_alone(self, rest, run):
        stdout, stderr = printed(run("alone"))
        (here,) = runs_of(rest, "manual", DATE, DATE).values()
        assert here["logical_date"] == "2026-03-01T00:00:00Z"
        found = rest.get(f"/dags/manual/dagRuns/{here['dag_run_id']}").json()
        assert found["selection"]["task_ids"] == ["alone"]
        assert stdout == f"Running <TaskInstance: manual.alone {DATE} [None]>\nNone\n"
        assert stderr.startswith(f"The task 'alone' of the run '{here['dag_run_id']}' goes on; ")

    def test_without_a_run_one_that_waits_for_others_is_left_alone(self, rest, run):
        assert "it waits for first, and there is no run" in printed(run("second"))[1]
        assert runs_of(rest, "manual", DATE, DATE) == {}
        assert printed(run("second", ignore_dependencies="on"))[0]
        (here,) = runs_of(rest, "manual", DATE, DATE).values()
        found = rest.get(f"/dags/manual/dagRuns/{here['dag_run_id']}/taskInstances").json()["task_instances"]
        told = {entry["task_id"]: entry["state"] for entry in found}
        assert told == {"first": "success", "second": None, "third": "skipped", "alone": "skipped"}

    @pytest.mark.parametrize(
        ("date", "told"),
        [
            ("2025-12-31", "is before the task's start date 2026-01-01T00:00:00+00:00."),
            ("2126-01-01", "is in the future (the current date is "),
        ],
        ids=["before", "ahead"],
    )
    def test_without_a_run_none_is_made_where_the_task_has_none(self, rest, run, date, told):
        always = ("2020-01-01T00:00:00Z", "2130-01-01T00:00:00Z")
        before = runs_of(rest, DAILY, *always)
        stdout, stderr = printed(run("runme_0", DAILY, execution_date=date))
        assert stdout == ""
        assert f"dependency 'Execution Date' FAILED: Execution date {date}T00:00:00+00:00 {told}" in stderr
        assert "is after the task's end date" in printed(run("start", "etl", execution_date="2036-02-01"))[1]
        assert runs_of(rest, DAILY, *always) == before

    def test_of_two_at_once_one_makes_the_run(self, rest, run):
        with ThreadPoolExecutor(2) as pool:
            told = [call.result() for call in [pool.submit(run, "alone") for _ in range(2)]]
        assert len([answer for answer in told if printed(answer)[0].endswith("\nNone\n")]) == 1
        assert len(runs_of(rest, "manual", DATE, DATE)) == 1

    def test_of_a_mapped_task_the_whole_is_told(self, run, made):
        assert printed(run("say", "mapped")) == (
            f"Running <TaskInstance: mapped.say {DATE} [None]>\nqueued\n",
            mock.ANY,
        )
        assert "'say' is mapped" in printed(run("say", "mapped"))[1]

    def test_a_task_is_marked_without_being_run(self, rest, run, made):
        here = made(task_states={"second": "failed"})
        for _ in range(2):
            told = printed(run("second", mark_success="on"))
            assert told == (
                f"Marking success for <TaskInstance: manual.second {DATE} [success]>\nsuccess\n",
                "",
            )
        assert states(rest, here) == {"first": None, "second": "success", "third": None, "alone": None}

    def test_without_a_run_there_is_nothing_to_mark(self, rest, run):
        expected = f"DagRun for manual with run_id or execution_date of '{DATE}' not found"
        assert printed(run("alone", mark_success="on")) == ("", expected)
        assert runs_of(rest, "manual", DATE, DATE) == {}

    def test_a_run_without_a_logical_date_is_found_by_the_date_after_which_it_runs(self, rest, run, new_run):
        here = new_run("manual", state="running", run_after=MARCH)
        assert printed(run("alone"))[0].endswith("\nsuccess\n")
        assert states(rest, here)["alone"] == "success"

    def test_what_is_wrong_is_told_as_it_was(self, rest, old, run):
        assert refused(old("clairvoyant", "run", {"dag_id": "manual"})) == (
            400,
            "The argument(s) ['task_id', 'execution_date'] are required",
        )
        assert refused(run("alone", "nothing")) == (400, "The DAG ID 'nothing' does not exist")
        assert "no task 'nothing'" in printed(run("nothing"))[1]
        for date in ("yesterday", "2026-13-01", "9" * 60):
            assert "execution_date" in printed(run("alone", execution_date=date))[1]
        assert runs_of(rest, "manual", DATE, "2036-01-01T00:00:00Z") == {}

    def test_who_may_not_is_refused_and_nothing_is_done(self, rest, old, run, without):
        query = {"dag_id": "manual", "task_id": "alone", "execution_date": DATE}
        assert old("clairvoyant", "run", query, role="viewer").status_code == 403
        without("POST", "RUN")
        assert refused(run("alone"))[0] == 403
        assert runs_of(rest, "manual", DATE, DATE) == {}

    def test_a_form_says_the_same(self, rest, old, made):
        here = made()
        form = {"task_id": "alone", "execution_date": DATE}
        told = old("clairvoyant", "run", {"dag_id": "manual"}, form=form)
        assert printed(told)[0].endswith("\nsuccess\n")
        assert told.json()["post_arguments"] == form
        assert states(rest, here)["alone"] == "success"


class TestClear:
    @pytest.fixture
    def clear(self, old):
        return lambda **query: old("clairvoyant", "clear", {"dag_id": "manual", **query})

    @pytest.fixture
    def ended(self, new_run):
        """Runs of three days, all tasks of which have succeeded, but for two that failed."""
        all_well = dict.fromkeys(("first", "second", "third", "alone"), "success")
        failed = {**all_well, "second": "failed", "third": "upstream_failed"}
        return [
            new_run(
                "manual", logical_date=MARCH + timedelta(days=number), state="success", task_states=states
            )
            for number, states in enumerate((all_well, failed, all_well))
        ]

    @pytest.mark.parametrize(
        ("query", "cleared"),
        [
            ({}, ["first second third alone"] * 3),
            ({"start_date": "2026-03-02"}, ["", *["first second third alone"] * 2]),
            ({"end_date": "2026-03-01"}, ["first second third alone", "", ""]),
            ({"start_date": "2026-03-02", "end_date": "2026-03-02"}, ["", "first second third alone", ""]),
            ({"start_date": "2026-03-01", "only_failed": "on"}, ["", "second third", ""]),
            ({"start_date": "2026-03-01", "task_regex": "^s"}, ["second"] * 3),
            ({"start_date": "2026-03-01", "task_regex": "^s", "upstream": "on"}, ["first second"] * 3),
            ({"start_date": "2026-03-01", "task_regex": "^s", "downstream": "on"}, ["second third"] * 3),
            ({"execution_date": "2026-03-02"}, ["", "first second third alone", ""]),
            (
                {"execution_date": "2026-03-02", "task_regex": "^s", "downstream": "on"},
                ["", "second third", ""],
            ),
        ],
        ids=str,
    )
    def test_what_is_meant_is_cleared_and_nothing_is_said(self, rest, clear, ended, query, cleared):
        before = [states(rest, run) for run in ended]
        told = clear(**query)
        assert printed(told) == ("", "")
        assert " --no_confirm manual" in told.json()["airflow_cmd"]
        for run, old_states, names in zip(ended, before, cleared, strict=True):
            assert states(rest, run) == {**old_states, **dict.fromkeys(names.split())}
            assert rest.get(run.path).json()["state"] == ("queued" if names else "success")

    @pytest.mark.parametrize(
        "query",
        [
            {"start_date": "2030-01-01"},
            {"execution_date": "2026-03-01T00:00:01"},
            {"task_regex": "nothing"},
            {"execution_date": "2026-03-01", "only_failed": "on"},
            {"start_date": "2026-03-01", "only_running": "on"},
        ],
        ids=str,
    )
    def test_where_nothing_is_meant_that_is_said(self, rest, clear, ended, query):
        assert printed(clear(**query)) == ("Nothing to clear.\n", "")
        assert [rest.get(run.path).json()["state"] for run in ended] == ["success"] * 3

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ({"start_date": "soon"}, "start_date"),
            ({"execution_date": "soon"}, "execution_date"),
            ({"execution_date": "2026-03-01", "end_date": "2026-03-01"}, "not allowed with"),
            ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, "lies before start_date"),
            ({"only_failed": "on", "only_running": "on"}, "exclude each other"),
            ({"task_regex": "("}, "invalid regular expression"),
        ],
        ids=["date", "execution_date", "both", "order", "states", "regex"],
    )
    def test_what_is_wrong_is_told_and_nothing_is_cleared(self, rest, clear, ended, query, told):
        stdout, stderr = printed(clear(**query))
        assert (stdout, told in stderr) == ("", True)
        assert [rest.get(run.path).json()["state"] for run in ended] == ["success"] * 3

    def test_what_clients_sent_in_vain_counts_in_a_form_as_well(self, rest, old, ended):
        told = old("clairvoyant", "clear", {"dag_id": "manual"}, form={"execution_date": "2026-03-02"})
        assert printed(told) == ("", "")
        assert [rest.get(run.path).json()["state"] for run in ended] == ["success", "queued", "success"]

    def test_who_may_not_is_refused_and_nothing_is_cleared(self, rest, old, ended):
        assert refused(old("clairvoyant", "clear", {"dag_id": "manual"}, role="viewer"))[0] == 403
        assert refused(old("clairvoyant", "clear"))[1] == "The argument(s) ['dag_id'] are required"
        assert [rest.get(run.path).json()["state"] for run in ended] == ["success"] * 3
