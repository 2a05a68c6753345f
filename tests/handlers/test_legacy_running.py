"""Old calls that run, test and clear tasks, and make backfills, over HTTP; `tests/live/` runs them for real."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from sqlalchemy import update

from airflow_rest_api.legacy.clairvoyant import backfills, task_running, task_testing
from airflow_rest_api.services import errors, task_test
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.services.kinds import KINDS
from airflow_rest_api.services.runs import scheduling_forecast
from tests.conftest import application, in_process
from tests.handlers.test_backfill import runs_of, set_runs
from tests.support import old_calls
from tests.support.scenario import Run
from tests.support.shared_calls_of.backfill import DAILY

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
DATE = "2026-03-01T00:00:00+00:00"
TESTED = {"dag_id": "etl", "task_id": "load.orders", "execution_date": "2026-03-01"}
DATES = {"dag_id": DAILY, "start_date": "2026-02-01", "end_date": "2026-02-03"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody schedules in these tests, so that nothing ends by itself."""
    for module in (task_running, backfills):
        monkeypatch.setattr(module, "SECONDS", 0)


@pytest.fixture
def without(monkeypatch):
    """`without("POST", "RUN")`: from now on nobody may use this method on this part of a DAG."""
    from airflow_rest_api.security.access import AirflowPermissions

    def take(*refused):
        def may(self, dag_id, method, access_entity=None):
            return (method, access_entity) != refused

        def require(self, dag_id, method, access_entity=None):
            if not may(self, dag_id, method, access_entity):
                raise errors.Denied("Not this one.")

        monkeypatch.setattr(AirflowPermissions, "may_dag", may)
        monkeypatch.setattr(AirflowPermissions, "require_dag", require)

    return take


@pytest.fixture(scope="module")
def able(token):
    """Old calls to a service that has tests switched on."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__TEST_ENABLED": "True"}):
        built = application()
    with in_process(built) as http:
        yield old_calls.OldCalls(http, token)


def printed(answer):
    """What a command printed: stdout and stderr."""
    assert (answer.status_code, answer.json().get("status")) == (200, "OK"), answer.text
    output = answer.json()["output"]
    assert (set(output), output["stdin"]) == ({"stdout", "stderr", "stdin"}, "")
    return output["stdout"], output["stderr"]


def refused(answer):
    """The status and the text of a call that was refused as a whole."""
    told = answer.json()
    assert (told["status"], told["http_response_code"]) == ("ERROR", answer.status_code)
    return answer.status_code, told["output"]


def states(rest, run):
    found = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {entry["task_id"]: entry["state"] for entry in found}


@contextmanager
def meanwhile(change):
    """Do something while somebody waits."""
    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change)
        yield
        changed.result()


def until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def set_state(run, task_id, state):
    from airflow.models.taskinstance import TaskInstance

    of_task = (TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.dag_run_id)
    with unit_of_work() as session:
        session.execute(
            update(TaskInstance).where(*of_task, TaskInstance.task_id == task_id).values(state=state)
        )


def newest(rest):
    return rest.get("/backfills", params={"order_by": "-id"}).json()["backfills"][0]


def made(rest):
    """The number of the backfill of the daily DAG, as soon as there is one."""
    until(lambda: newest(rest)["dag_id"] == DAILY)
    return newest(rest)["id"]


def complete(backfill_id):
    """Do what the scheduler does when all runs have ended."""
    from airflow.models.backfill import Backfill

    with unit_of_work() as session:
        session.execute(update(Backfill).where(Backfill.id == backfill_id).values(completed_at=MARCH))


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


class TestTest:
    @pytest.fixture
    def tried(self, monkeypatch):
        """What the tests are asked for, which are not carried out: each writes a line, and fails where told."""
        asked = []

        def carry_out(request, report):
            asked.append(request)
            report.text("a line\n")
            while request["params"].get("endless"):
                report.check()
                time.sleep(0.05)
            if request["params"].get("fails"):
                raise task_test.TaskTestFailed("It failed.")
            return {"task_state": "success"}

        kind = replace(KINDS[task_test.KIND], work=carry_out)
        monkeypatch.setitem(KINDS, task_test.KIND, kind)
        return asked

    def test_it_is_off_unless_switched_on(self, old):
        status, text = refused(old("clairvoyant", "test", TESTED))
        assert (status, "test_enabled" in text) == (403, True)

    def test_it_takes_the_power_to_test(self, able, tried):
        assert able("clairvoyant", "test", TESTED, role="op").status_code == 403
        assert tried == []

    def test_it_answers_what_the_task_wrote_when_it_has_ended(self, able, tried):
        told = able("clairvoyant", "test", {**TESTED, "task_params": '{"limit": 3}'})
        assert printed(told) == ("a line\n", "")
        assert told.json()["airflow_cmd"] == (
            'airflow test --task_params {"limit": 3} etl load.orders 2026-03-01'
        )
        (asked,) = tried
        assert (asked["logical_date"], asked["dag_run_id"]) == ("2026-03-01T00:00:00+00:00", None)
        assert (asked["params"], asked["seconds"]) == ({"limit": 3}, 3600)

    def test_the_task_runs_in_a_process_of_its_own(self, rest, able):
        query = {
            "dag_id": "example_bash_operator",
            "task_id": "also_run_this",
            "execution_date": "2026-03-01",
        }
        assert printed(able("clairvoyant", "test", query))[1] == ""
        (one,) = rest.get("/operations").json()["operations"]
        result = {name: one["result"][name] for name in ("task_state", "exit_code")}
        assert result == {"task_state": "success", "exit_code": 0}

    def test_where_there_is_a_run_the_task_sees_it(self, able, tried, scenario):
        query = {**TESTED, "execution_date": "2026-01-05T01:30:00+00:00"}
        assert printed(able("clairvoyant", "test", query)) == ("a line\n", "")
        assert (tried[0]["logical_date"], tried[0]["dag_run_id"]) == (None, scenario.succeeded.dag_run_id)

    def test_why_it_failed_is_told(self, able, tried):
        told = able("clairvoyant", "test", {**TESTED, "task_params": '{"fails": true}'})
        assert printed(told) == ("a line\n", "It failed.")

    @pytest.mark.parametrize("patience", [0, 60])
    def test_what_goes_on_when_the_time_is_up_is_named(self, rest, able, tried, monkeypatch, patience):
        def ended():
            (one,) = rest.get("/operations").json()["operations"]
            return one["state"] == "cancelled"

        def cancel():
            until(lambda: tried)
            (one,) = rest.get("/operations").json()["operations"]
            assert rest.post(f"/operations/{one['operation_id']}/cancel").is_success

        monkeypatch.setattr(task_testing, "PATIENCE", patience)
        query = {**TESTED, "task_params": '{"endless": true}'}
        if not patience:
            _, stderr = printed(able("clairvoyant", "test", query))
            assert stderr.startswith("The test goes on as the operation '")
            cancel()
        else:
            with meanwhile(cancel):
                assert printed(able("clairvoyant", "test", query)) == ("a line\n", "The test was cancelled.")
        until(ended)

    def test_a_dry_run_begins_nothing(self, able, tried):
        assert printed(able("clairvoyant", "test", {**TESTED, "dry_run": "on"})) == ("Dry run\n", "")
        assert "no task 'x'" in printed(able("clairvoyant", "test", {**TESTED, "task_id": "x"}))[1]
        assert tried == []

    @pytest.mark.parametrize(
        "params",
        ["{", "[]", "1", '{"a": NaN}', '{"a": ' + "[" * 80 + "]" * 80 + "}", "x" * 60_000],
        ids=["broken", "list", "number", "nan", "deep", "long"],
    )
    def test_params_that_are_no_object_are_refused(self, able, tried, params):
        stdout, stderr = printed(able("clairvoyant", "test", form={**TESTED, "task_params": params}))
        assert (stdout, "task_params" in stderr, tried) == ("", True, [])

    def test_secrets_in_params_are_not_echoed(self, able, tried):
        params = '{"password": "Not-For-Echoes", "limit": 1}'
        for sent in ({"query": {**TESTED, "task_params": params}}, {"form": {"task_params": params}}):
            query = {**TESTED, **sent.pop("query", {})}
            told = able("clairvoyant", "test", query, **sent)
            assert printed(told)[0] == "a line\n"
            assert "Not-For-Echoes" not in told.text
            assert '"password": "***"' in told.json()["airflow_cmd"]
        assert tried[0]["params"]["password"] == "Not-For-Echoes"


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
    def test_one_date_alone_counts_for_both(self, backfill, name):
        told = printed(backfill(**{name: "2026-02-02"}, dry_run="on"))
        assert told == (f"Dry run of DAG {DAILY} on 2026-02-02T00:00:00+00:00\n", "")

    def test_a_dry_run_tells_the_dates_and_makes_nothing(self, rest, backfill):
        days = [f"Dry run of DAG {DAILY} on 2026-02-0{day}T00:00:00+00:00\n" for day in (1, 2, 3)]
        assert printed(backfill(**DATES, dry_run="on")) == ("".join(days), "")
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
        days = [line.split()[-1][:10] for line in told.splitlines()]
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
