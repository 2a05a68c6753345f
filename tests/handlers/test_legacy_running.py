"""Old calls that run, test and clear tasks, and make backfills, over HTTP; `tests/live/` runs them for real."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from sqlalchemy import update

from airflow_rest_api.legacy.clairvoyant import backfills, task_running, task_testing
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.services.kinds import KINDS
from tests.conftest import application, in_process
from tests.handlers.test_backfill import runs_of, set_runs
from tests.support import clients, old_calls
from tests.support.shared_calls_of.backfill import DAILY

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
DATE = "2026-03-01T00:00:00+00:00"
SHORT = 0.3


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody schedules in these tests, so that nothing ends by itself."""
    for module in (task_running, backfills):
        monkeypatch.setattr(module, "SECONDS", SHORT)


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


def later(seconds, change):
    """Do something while somebody waits."""
    timer = threading.Timer(seconds, change)
    timer.start()
    return timer


def set_state(run, task_id, state):
    from airflow.models.taskinstance import TaskInstance

    of_task = (TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.dag_run_id)
    with unit_of_work() as session:
        session.execute(
            update(TaskInstance).where(*of_task, TaskInstance.task_id == task_id).values(state=state)
        )


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
            "The argument 'subdir' has no meaning on Airflow 3 and was ignored.\n"
            "The argument 'local' has no meaning on Airflow 3 and was ignored.",
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
        here = made(task_states={"first": "running"})
        for more in ({}, {"force": "on"}, {"ignore_depends_on_past": "on"}):
            stdout, stderr = printed(run("second", **more))
            assert stdout == ""
            assert "dependency 'Trigger Rule' FAILED: " in stderr
        assert states(rest, here)["second"] is None
        assert printed(run("second", **{flag: "on"}))[0].endswith("\nsuccess\n")

    def test_the_past_holds_a_task_unless_told_otherwise(self, rest, new_run, old):
        day = timedelta(days=1)
        done = {"start": "success", "load.orders": "success", "load.customers": "success"}
        for date in (MARCH, MARCH + day):
            new_run("etl", logical_date=date, state="running", task_states=done)
        query = {"dag_id": "etl", "task_id": "check", "execution_date": "2026-03-02"}
        assert "'Previous Dagrun State' FAILED: " in printed(old("clairvoyant", "run", query))[1]
        forced = printed(old("clairvoyant", "run", {**query, "ignore_depends_on_past": "on"}))
        assert forced == ("Running <TaskInstance: etl.check 2026-03-02T00:00:00+00:00 [success]>\nsuccess\n", "")

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
    def test_its_end_is_waited_for(self, monkeypatch, run, made, state, trouble):
        monkeypatch.setattr(task_running, "SECONDS", 60)
        here = made("etl", task_states={"start": "success"})
        timer = later(0.4, lambda: set_state(here, "load.orders", state))
        begin = time.monotonic()
        stdout, stderr = printed(run("load.orders", "etl"))
        timer.join()
        assert 0.4 < time.monotonic() - begin < 30
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
            assert told == (f"Marking success for <TaskInstance: manual.second {DATE} [success]>\nsuccess\n", "")
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
        assert runs_of(rest, "manual", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z").keys() <= {
            "2026-01-01"
        }

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
    QUERY = {"dag_id": "etl", "task_id": "load.orders", "execution_date": "2026-03-01"}

    @pytest.fixture(scope="class")
    def able(self, token):
        """Old calls to a service that has tests switched on."""
        with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__TEST_ENABLED": "True"}):
            built = application()
        with in_process(built) as http:
            yield old_calls.OldCalls(http, token)

    @pytest.fixture
    def tried(self, monkeypatch):
        """What the tests are asked for, which are not carried out: each writes a line, and fails where told."""
        asked = []

        def carry_out(request, report):
            asked.append(request)
            report.text("a line\n")
            if request["params"].get("fails"):
                raise task_testing.task_test.TaskTestFailed("It failed.")
            return {"task_state": "success"}

        kind = KINDS[task_testing.task_test.KIND]
        monkeypatch.setitem(KINDS, kind.name, mock.Mock(wraps=kind, carry_out=carry_out))
        return asked

    def test_it_is_off_unless_switched_on(self, old):
        status, text = refused(old("clairvoyant", "test", self.QUERY))
        assert (status, "test_enabled" in text) == (403, True)
