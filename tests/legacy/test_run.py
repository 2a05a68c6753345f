"""Old calls about runs and their tasks, over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import count

import pytest

from airflow_rest_api.legacy import instants
from tests.support.dag_runs import STATES

pytestmark = pytest.mark.usefixtures("restored_afterwards")

ALL_STATES = [
    *("scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred"),
    *("awaiting_input", "failed", "upstream_failed", "success", None),
]
FAILED = {"first": "success", "second": "failed", "third": "upstream_failed", "alone": "failed"}
IN_FLIGHT = {"first": "success", "second": "running", "third": None, "alone": "queued"}
SAY = [f"say[{index}]" for index in range(4)]
NO_RUN = (404, {"error": "dag run is not found"})
DONE = (200, {"status": "success"})
_numbers = count(1)


def of(run, **further):
    """The arguments that name a run."""
    return {"dag_id": run.dag_id, "run_id": run.dag_run_id, **further}


def told(answer):
    return answer.status_code, answer.json()


def states(rest, run):
    """The states of a run's task instances by name, and of mapped ones by name and index."""
    entries = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {
        entry["task_id"] + (f"[{entry['map_index']}]" if entry["map_index"] >= 0 else ""): entry["state"]
        for entry in entries
    }


def state_of(rest, run):
    return rest.get(run.path).json()["state"]


class TestDagState:
    def test_ebays_names_the_run_and_its_dates(self, old, scenario):
        answer = old("ebay", "dag_state", of(scenario.succeeded), role="viewer")
        assert told(answer) == (
            200,
            {
                "state": "success",
                "startDate": "2026-01-06T01:30:05.000000+0000",
                "endDate": "2026-01-06T02:00:00.250000+0000",
                "status": "success",
            },
        )
        assert list(answer.json()) == ["state", "startDate", "endDate", "status"]

    def test_a_run_that_has_not_begun_has_no_dates(self, old, scenario):
        answer = old("ebay", "dag_state", form=of(scenario.queued))
        assert told(answer) == (
            200,
            {"state": "queued", "startDate": None, "endDate": None, "status": "success"},
        )

    def test_ebays_refusals(self, old, scenario):
        run = scenario.example
        assert told(old("ebay", "dag_state", of(run) | {"run_id": "none"})) == NO_RUN
        assert told(old("ebay", "dag_state", of(run) | {"run_id": f"{run.dag_run_id} "})) == NO_RUN
        assert told(old("ebay", "dag_state", {"dag_id": run.dag_id})) == (
            400,
            {"error": "The argument(s) ['run_id'] are required"},
        )
        assert told(old("ebay", "dag_state", {"dag_id": scenario.missing, "run_id": "x"})) == (
            400,
            {"error": f"The DAG ID '{scenario.missing}' does not exist"},
        )
        assert old("ebay", "dag_state", of(run), role="nobody").status_code == 403

    @pytest.mark.parametrize(
        ("dag_id", "date", "line"),
        [
            ("example_bash_operator", "2026-01-01T00:00:00", "success"),
            ("example_bash_operator", "2026-01-01", "success"),
            ("example_bash_operator", "2026-01-01 01:00:00+01:00", "success"),
            ("example_bash_operator", "2026-01-01T00:00:00.000001", "None"),
            ("etl", "2026-01-07T01:30:00+00:00", "running"),
            ("etl", "2026-01-09T00:00:00+00:00", "queued"),
        ],
        ids=["naive", "day", "zone", "no_run", "another", "no_logical_date"],
    )
    def test_clairvoyants_prints_the_state_of_the_run_of_a_date(self, old, dag_id, date, line):
        query = {"dag_id": dag_id, "execution_date": date}
        answer = old("clairvoyant", "dag_state", query, role="viewer")
        assert answer.status_code == 200
        assert answer.json()["output"] == {"stderr": "", "stdin": "", "stdout": f"{line}\n"}
        assert answer.json()["airflow_cmd"] == f"airflow dag_state {dag_id} {date}"

    def test_clairvoyants_refusals(self, old, scenario):
        answer = old("clairvoyant", "dag_state", {"dag_id": "etl", "execution_date": "yesterday"})
        assert (answer.status_code, answer.json()["status"]) == (200, "OK")
        assert answer.json()["output"]["stdout"] == ""
        assert "execution_date" in answer.json()["output"]["stderr"]
        lacking = old("clairvoyant", "dag_state", {"dag_id": "etl"})
        assert lacking.status_code == 400
        assert lacking.json()["output"] == "The argument(s) ['execution_date'] are required"
        dated = {"dag_id": "etl", "execution_date": "2026-01-07"}
        assert old("clairvoyant", "dag_state", dated, role="nobody").status_code == 403

    def test_the_argument_decides_who_answers(self, old, scenario):
        run = scenario.example
        assert old("clairvoyant", "dag_state", of(run)).json()["status"] == "success"
        dated = {"dag_id": run.dag_id, "execution_date": "2026-01-01"}
        assert old("ebay", "dag_state", dated).json()["output"]["stdout"] == "success\n"


class TestTaskInstanceDetail:
    def test_all_of_it(self, old, scenario):
        query = of(scenario.failed, task_id=scenario.retried_task)
        answer = old("ebay", "task_instance_detail", query, role="viewer")
        assert told(answer) == (
            200,
            {
                "taskId": "load.orders",
                "dagId": "etl",
                "state": "failed",
                "tryNumber": "3",
                "maxTries": "2",
                "startDate": "2026-01-07T04:00:00.000000+0000",
                "endDate": "2026-01-07T04:00:42.500000+0000",
                "duration": "42.5",
                "status": "success",
            },
        )
        first, *_, last = answer.json()
        assert (first, last) == ("taskId", "status")

    def test_naught_is_null(self, old, new_run):
        run = new_run(state="running")
        answer = old("ebay", "task_instance_detail", form=of(run, task_id="first"))
        numbers = dict.fromkeys(("state", "tryNumber", "maxTries", "startDate", "endDate", "duration"))
        assert told(answer) == (200, {"taskId": "first", "dagId": "manual", **numbers, "status": "success"})

    @pytest.mark.parametrize(
        ("of_say", "state"),
        [
            (["success", "failed", "running", None], "failed"),
            (["success", "success", "running", "queued"], "running"),
            (["success", "success", None, "success"], None),
            (["skipped", "success", "skipped", "removed"], "success"),
        ],
        ids=["failed", "running", "none", "success"],
    )
    def test_of_a_mapped_task_it_tells_what_matters_most(self, old, new_run, of_say, state):
        run = new_run("mapped", state="running", task_states=dict(zip(SAY, of_say, strict=True)))
        answer = old("ebay", "task_instance_detail", of(run, task_id="say")).json()
        assert (answer["taskId"], answer["state"]) == ("say", state)

    def test_refusals(self, old, scenario):
        run = scenario.example
        unknown = of(run, task_id="none")
        assert told(old("ebay", "task_instance_detail", unknown | {"run_id": "none"})) == NO_RUN
        assert told(old("ebay", "task_instance_detail", unknown)) == (404, {"error": "dag task is not found"})
        assert told(old("ebay", "task_instance_detail", {"task_id": "runme_0"})) == (
            400,
            {"error": "The argument(s) ['dag_id', 'run_id'] are required"},
        )
        assert old("ebay", "task_instance_detail", unknown, role="nobody").status_code == 403


class TestRestartFailedTask:
    @pytest.mark.parametrize("by_form", [False, True], ids=["query", "form"])
    def test_what_failed_itself_is_counted_and_all_after_it_cleared(self, rest, old, new_run, by_form):
        run = new_run(state="failed", task_states=FAILED)
        answer = old("ebay", "restart_failed_task", **{"form" if by_form else "query": of(run)})
        assert told(answer) == (200, {"failed_task_count": 2, "clear_task_count": 3, "status": "success"})
        assert list(answer.json()) == ["failed_task_count", "clear_task_count", "status"]
        assert states(rest, run) == {"first": "success", "second": None, "third": None, "alone": None}
        assert state_of(rest, run) == "queued"
        again = old("ebay", "restart_failed_task", of(run))
        assert told(again) == (404, {"error": "dagRun don't have failed tasks"})

    def test_what_failed_because_of_others_is_no_failure(self, rest, old, new_run):
        run = new_run(state="failed", task_states={**FAILED, "second": "success", "alone": "success"})
        answer = old("ebay", "restart_failed_task", of(run))
        assert told(answer) == (404, {"error": "dagRun don't have failed tasks"})
        assert (states(rest, run)["third"], state_of(rest, run)) == ("upstream_failed", "failed")

    def test_refusals(self, rest, old, new_run):
        run = new_run(state="failed", task_states=FAILED)
        assert told(old("ebay", "restart_failed_task", of(run) | {"run_id": "none"})) == NO_RUN
        assert old("ebay", "restart_failed_task", of(run), role="viewer").status_code == 403
        assert old("ebay", "restart_failed_task", of(run), method="HEAD").status_code == 405
        assert state_of(rest, run) == "failed"


class TestKillRunningTasks:
    def test_what_runs_or_was_not_begun_fails_and_the_rest_is_left(self, rest, old, new_run):
        run = new_run(state="running", task_states=IN_FLIGHT)
        assert told(old("ebay", "kill_running_tasks", of(run))) == DONE
        assert states(rest, run) == {
            "first": "success",
            "second": "failed",
            "third": "failed",
            "alone": "queued",
        }
        again = old("ebay", "kill_running_tasks", of(run))
        assert told(again) == (404, {"error": "dagRun don't have running tasks"})
        assert state_of(rest, run) == "running"

    def test_one_task_is_killed_alone(self, rest, old, new_run):
        run = new_run(state="running", task_states={**IN_FLIGHT, "third": "deferred"})
        form = of(run, task_id="third")
        assert told(old("ebay", "kill_running_tasks", form=form)) == DONE
        assert [states(rest, run)[name] for name in ("second", "third")] == ["running", "failed"]
        refusal = (404, {"error": "task is not found or state is neither RUNNING nor NONE"})
        for task_id in ("third", "first", "alone", "none"):
            assert told(old("ebay", "kill_running_tasks", of(run, task_id=task_id))) == refusal

    def test_all_instances_of_a_mapped_task_are_killed(self, rest, old, new_run):
        killed = dict(zip(SAY, ["success", "running", None, "awaiting_input"], strict=True))
        run = new_run("mapped", state="running", task_states=killed)
        assert told(old("ebay", "kill_running_tasks", of(run, task_id="say"))) == DONE
        assert [states(rest, run)[name] for name in SAY] == ["success", "failed", "failed", "failed"]

    def test_a_run_that_has_done_all_is_left_to_the_scheduler(self, rest, old, new_run):
        run = new_run(state="running", task_states=dict.fromkeys(IN_FLIGHT, "success"))
        answer = old("ebay", "kill_running_tasks", of(run))
        assert told(answer) == (404, {"error": "dagRun don't have running tasks"})
        assert state_of(rest, run) == "running"

    def test_an_operation_follows_the_processes(self, rest, old, new_run):
        run = new_run(state="running", task_states={**IN_FLIGHT, "alone": "success", "second": None})
        assert told(old("ebay", "kill_running_tasks", of(run), role="op")) == DONE
        query = {"operation": "kill_dag_run", "order_by": "-created_at", "limit": 1}
        (begun,) = rest.get("/operations", params=query, role="op").json()["operations"]
        path = f"/operations/{begun['operation_id']}"
        followed = rest.get(path, params={"wait": 30}, role="op").json()
        assert [item["dag_run_id"] for item in followed["items"]] == [run.dag_run_id] * 2

    def test_refusals(self, rest, old, new_run):
        run = new_run(state="running", task_states=IN_FLIGHT)
        assert told(old("ebay", "kill_running_tasks", of(run) | {"run_id": "none"})) == NO_RUN
        assert (
            told(old("ebay", "kill_running_tasks", of(run, task_id="first") | {"run_id": "none"})) == NO_RUN
        )
        assert old("ebay", "kill_running_tasks", of(run), role="viewer").status_code == 403
        assert old("ebay", "kill_running_tasks", of(run), method="HEAD").status_code == 405
        assert states(rest, run)["second"] == "running"


class TestRunTaskInstance:
    @pytest.fixture
    def wish(self):
        """The arguments of a run that is not there yet."""
        return {"dag_id": "manual", "run_id": f"manual__old-{next(_numbers)}", "tasks": "second"}

    def test_these_tasks_alone_are_run(self, rest, old, wish):
        before = datetime.now(timezone.utc)
        answer = old("ebay", "run_task_instance", form={**wish, "tasks": "first,third", "conf": '{"a": [1]}'})
        assert answer.status_code == 200
        assert list(answer.json()) == ["execution_date", "status"]
        date = datetime.strptime(answer.json()["execution_date"], "%Y-%m-%dT%H:%M:%S.%f%z")
        assert timedelta() <= date - before < timedelta(minutes=1)
        run = rest.get(f"/dags/manual/dagRuns/{wish['run_id']}").json()
        assert datetime.fromisoformat(run["logical_date"].replace("Z", "+00:00")) == date
        assert (run["state"], run["conf"], run["run_type"]) == ("queued", {"a": [1]}, "manual")
        assert run["selection"]["task_ids"] == ["first", "third"]
        entries = rest.get(f"/dags/manual/dagRuns/{wish['run_id']}/taskInstances").json()["task_instances"]
        found = {entry["task_id"]: entry["state"] for entry in entries}
        assert found == {"first": None, "second": "success", "third": None, "alone": "skipped"}
        state = old("ebay", "dag_state", wish).json()["state"]
        assert state == "queued"

    def test_a_query_does_as_well(self, old, wish):
        assert old("ebay", "run_task_instance", {**wish, "conf": "null"}).status_code == 200

    def test_a_configuration_that_is_none_is_refused_before_everything(self, rest, old, wish):
        deep = '{"a":' * 100 + "1" + "}" * 100
        no_object = ["{", "no", "[1]", '"text"', "1", "{'a': 1}", "[" * 10_000]
        for conf in (*no_object, '{"a": NaN}', deep, '{"a": "\\u0000"}', '{"a": 99999999999999999999}'):
            answer = old("ebay", "run_task_instance", form={**wish, "tasks": "none", "conf": conf})
            assert told(answer) == (400, {"error": "Invalid JSON configuration"}), conf
        assert rest.get(f"/dags/manual/dagRuns/{wish['run_id']}").status_code == 404

    def test_an_id_that_is_taken_comes_before_a_task_that_is_not_there(self, old, wish, new_run):
        run = new_run()
        taken = (404, {"error": f"run_id {run.dag_run_id} already exists"})
        for tasks in ("first", "none"):
            assert told(old("ebay", "run_task_instance", form=of(run, tasks=tasks))) == taken
        for tasks, unknown in (("none", "none"), ("first, second", " second"), ("first,,none", "")):
            answer = old("ebay", "run_task_instance", form={**wish, "tasks": tasks})
            assert told(answer) == (404, {"error": f"dag task of {unknown} is not found"})
        # Spaces around the id are passed over where the DAG is looked for alone.
        answer = old("ebay", "run_task_instance", {**wish, "dag_id": f"{wish['dag_id']} "})
        assert told(answer) == (404, {"error": f"Dag id {wish['dag_id']}  not found"})

    def test_of_two_at_once_one_makes_the_run(self, old, wish):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: old("ebay", "run_task_instance", form=wish), range(2)))
        made, refused = sorted(answers, key=lambda answer: answer.status_code)
        assert made.status_code == 200
        assert told(refused) == (404, {"error": f"run_id {wish['run_id']} already exists"})

    @pytest.mark.in_process
    def test_a_date_that_another_run_took_is_left_to_it(self, rest, old, wish, monkeypatch):
        taken = datetime.now(timezone.utc)
        moments = [taken, taken + timedelta(microseconds=1)]
        for number in range(2):
            monkeypatch.setattr(instants, "present", lambda: iter(moments))
            answer = old("ebay", "run_task_instance", form={**wish, "run_id": f"{wish['run_id']}-{number}"})
            date = datetime.strptime(answer.json()["execution_date"], "%Y-%m-%dT%H:%M:%S.%f%z")
            assert date == moments[number]

    def test_what_airflow_refuses(self, old, wish):
        reserved = old("ebay", "run_task_instance", form={**wish, "run_id": "scheduled__mine"})
        assert reserved.status_code == 400
        assert "scheduled" in reserved.json()["error"]
        long = old("ebay", "run_task_instance", form={**wish, "run_id": "x" * 251})
        assert told(long) == (400, {"error": "run_id is longer than 250 characters"})
        lonely = {**wish, "dag_id": "mapped", "tasks": "double"}
        answer = old("ebay", "run_task_instance", form=lonely)
        assert answer.status_code == 422
        assert "numbers" in answer.json()["error"]

    def test_who_may_not_and_what_lacks(self, old, wish):
        assert old("ebay", "run_task_instance", form=wish, role="viewer").status_code == 403
        assert told(old("ebay", "run_task_instance", form={"tasks": ""})) == (
            400,
            {"error": "The argument(s) ['dag_id', 'run_id', 'tasks'] are required"},
        )
        unknown = old("ebay", "run_task_instance", form={**wish, "dag_id": "none"})
        assert told(unknown) == (400, {"error": "The DAG ID 'none' does not exist"})


class TestSkipTaskInstance:
    def test_whatever_the_state_is_it_is_skipped(self, rest, old, new_run):
        for state in ALL_STATES:
            run = new_run(state="running", task_states={"first": state})
            assert told(old("ebay", "skip_task_instance", of(run, task_id="first"))) == DONE
            assert states(rest, run)["first"] == "skipped"
            assert state_of(rest, run) == "running"

    def test_a_run_that_has_ended_is_judged_anew_once(self, rest, old, new_run):
        run = new_run(state="failed", task_states=STATES)
        form = of(run, task_id="second")
        assert told(old("ebay", "skip_task_instance", form=form)) == DONE
        assert states(rest, run) == {**STATES, "second": "skipped", "third": None}
        assert state_of(rest, run) == "queued"

    def test_what_is_skipped_already_is_left_alone(self, rest, old, new_run):
        run = new_run(state="success", task_states=dict.fromkeys(STATES, "skipped"))
        assert told(old("ebay", "skip_task_instance", of(run, task_id="second"))) == DONE
        assert state_of(rest, run) == "success"

    def test_all_instances_of_a_mapped_task_are_skipped(self, rest, old, new_run):
        begun = dict(zip(SAY, ["success", "running", None, "failed"], strict=True))
        run = new_run("mapped", state="running", task_states=begun)
        assert told(old("ebay", "skip_task_instance", of(run, task_id="say"))) == DONE
        assert {states(rest, run)[name] for name in SAY} == {"skipped"}

    def test_refusals(self, rest, old, new_run):
        run = new_run(state="failed", task_states={**STATES, "first": "removed"})
        unknown = of(run, task_id="none")
        assert told(old("ebay", "skip_task_instance", unknown | {"run_id": "none"})) == NO_RUN
        assert told(old("ebay", "skip_task_instance", unknown)) == (404, {"error": "dag task is not found"})
        gone = old("ebay", "skip_task_instance", of(run, task_id="first"))
        assert gone.status_code == 409
        assert "'removed'" in gone.json()["error"]
        query = of(run, task_id="second")
        assert old("ebay", "skip_task_instance", query, role="viewer").status_code == 403
        assert old("ebay", "skip_task_instance", query, method="HEAD").status_code == 405
        assert (states(rest, run)["second"], state_of(rest, run)) == (STATES["second"], "failed")
