"""LegacyTask: the old calls that list DAGs and tasks, tell of a task, and trigger a DAG."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple
from unittest import mock

import pytest

from airflow_rest_api.legacy.clairvoyant import rendering
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.dags import dag_names
from airflow_rest_api.services.task_instances import rendered_fields
from airflow_rest_api.trial.attempt import Ending

RULE, HASH_RULE = "-" * 67, "# " + "-" * 58
EXAMPLE_DATE, ETL_DATE = "2026-01-01T00:00:00+00:00", "2026-01-05T01:30:00+00:00"
NO_RUN = "Dagrun Running: Task instance's dagrun did not exist: Unknown reason."
CREATED = re.compile(r"Created <DagRun (\S+) @ (.+?): (\S+), externally triggered: True>\n")


class Told(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def say(old):
    """`say("task_state", dag_id=…)`: what a call prints, in its envelope."""

    def told(name, *, form=None, role="admin", **query):
        answer = old("clairvoyant", name, query, form=form, role=role)
        body = answer.json()
        assert (answer.status_code, body["status"], body["http_response_code"]) == (200, "OK", 200), body
        assert body["airflow_cmd"].startswith(f"airflow {name}")
        assert body["output"].pop("stdin") == ""
        return Told(**body["output"])

    return told


def at(run_date, task_id, dag_id="etl"):
    """The arguments of a call about a task at a date."""
    return {"dag_id": dag_id, "task_id": task_id, "execution_date": run_date}


def listed(told):
    """The ids in the box of `list_dags`."""
    head = f"\n\n{RULE}\nDAGS\n{RULE}\n"
    assert told.stdout.startswith(head)
    return told.stdout.removeprefix(head).splitlines()


class TestListDags:
    def test_the_ids_are_in_a_box(self, say, rest, scenario):
        told = say("list_dags")
        ids = listed(told)
        assert ids == [*sorted(ids[:-1]), ""]
        assert {scenario.active, scenario.paused, scenario.mapped} <= set(ids)
        assert scenario.stale not in ids
        assert told.stderr == ""
        pages = rest.get("/dags", params={"limit": 100}).json()
        assert sorted(dag["dag_id"] for dag in pages["dags"]) == ids[:-1]

    def test_a_report_tells_of_the_files(self, say):
        ids, report = say("list_dags", report="false").stdout.split("\n\n\n\n", 1)
        assert "etl" in ids
        assert report.startswith(f"{RULE}\nDagBag loading stats for ")
        assert re.search(r"^/etl.py +\| [0-9.]+ +\| +1 \| \['etl'] *$", report, re.MULTILINE)

    def test_the_folder_of_once_is_passed_over(self, say):
        told = say("list_dags", form={"subdir": "/old/dags"})
        assert "etl" in listed(told)
        assert "subdir" in told.stderr

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_dags_lists_them(self, old, role, status):
        assert old("clairvoyant", "list_dags", role=role).status_code == status

    @pytest.mark.in_process
    def test_nobody_is_told_of_dags_that_they_may_not_read(self):
        permissions = mock.Mock()
        permissions.dag_scope.return_value = DagScope(frozenset({"etl", "no_such"}), everything=False)
        caller = Caller("1", "one", permissions, None)
        assert dag_names.readable(caller) == ["etl"]
        assert [file.dag_ids for file in dag_names.files(caller)] == [["etl"]]


class TestListTasks:
    def test_the_ids_are_sorted(self, say):
        assert say("list_tasks", dag_id="etl") == (
            "check\nload.customers\nload.orders\nreport\nstart\n",
            "",
        )

    @pytest.mark.parametrize("value", ["on", "", "false"])
    def test_a_tree_shows_what_runs_after_what(self, say, value):
        assert say("list_tasks", dag_id="etl", tree=value).stdout.splitlines() == [
            "<Task(EmptyOperator): start>",
            "    <Task(BashOperator): load.customers>",
            "        <Task(EmptyOperator): check>",
            "            <Task(EmptyOperator): report>",
            "    <Task(BashOperator): load.orders>",
            "        <Task(EmptyOperator): check>",
            "            <Task(EmptyOperator): report>",
        ]

    def test_a_mapped_task_is_told_as_one(self, say):
        tree = say("list_tasks", dag_id="mapped", form={"tree": "on"}).stdout
        assert "\n    <Mapped(_PythonDecoratedOperator): double>\n" in tree

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_tasks_lists_them(self, old, role, status):
        assert old("clairvoyant", "list_tasks", {"dag_id": "etl"}, role=role).status_code == status


class TestTaskState:
    @pytest.mark.parametrize(
        ("arguments", "wanted"),
        [
            (at(ETL_DATE, "load.orders"), ("success\n", "")),
            (at("2026-01-05 02:30:00+01:00", "load.orders"), ("success\n", "")),
            (at("2026-01-06T01:30:00", "load.orders"), ("failed\n", "")),
            # One of the instances has failed.
            (at("2026-01-02", "double", "mapped"), ("failed\n", "")),
            # The task is none of the DAG's any more.
            (at("2026-01-03", "old_task", "versioned"), ("success\n", "")),
            # Nothing has a state where there is no run.
            (at("2020-01-01", "load.orders"), ("None\n", "")),
            (at(ETL_DATE, "nothing"), ("None\n", "Task nothing not found")),
            (at("2020-01-01", "nothing"), ("None\n", "Task nothing not found")),
            (
                at("soon", "load.orders"),
                ("", "error: argument execution_date: invalid parse value: 'soon'"),
            ),
        ],
        ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
    )
    def test_it_is_one_line(self, say, arguments, wanted):
        assert say("task_state", **arguments) == wanted
        assert say("task_state", form=arguments) == wanted

    def test_a_run_without_a_logical_date_is_found_by_when_it_was_to_run(self, say, new_run):
        after = datetime(2026, 3, 1, 4, 5, tzinfo=timezone.utc)
        new_run("manual", run_after=after, state="running", task_states={"first": "running"})
        assert say("task_state", **at("2026-03-01T04:05:00", "first", "manual")).stdout == "running\n"
        assert say("task_state", **at("2026-03-01T04:05:00", "second", "manual")).stdout == "None\n"

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_task_instances_may_ask(self, old, role, status):
        assert old("clairvoyant", "task_state", at(ETL_DATE, "start"), role=role).status_code == status

    def test_what_is_missing_is_told_in_the_order_of_once(self, old):
        body = old("clairvoyant", "task_state", {"task_id": ""}).json()
        assert (body["http_response_code"], body["output"]) == (
            400,
            "The argument(s) ['dag_id', 'task_id', 'execution_date'] are required",
        )


class TestTaskFailedDeps:
    def test_what_is_waited_for_is_told_line_by_line(self, say, rest, new_run):
        date = datetime(2026, 3, 2, tzinfo=timezone.utc)
        run = new_run("manual", logical_date=date, task_states={"second": "scheduled"})
        told = say("task_failed_deps", **at(date.isoformat(), "second", "manual"))
        first, *lines = told.stdout.splitlines()
        assert first == "Task instance dependencies not met:"
        known = rest.get(f"{run.path}/taskInstances/second/dependencies").json()["dependencies"]
        assert lines == [f"{unmet['name']}: {unmet['reason']}" for unmet in known]
        assert "Dagrun Running" in told.stdout
        assert told.stderr == ""

    def test_nothing_may_be_waited_for(self, say, new_run):
        date = datetime(2026, 3, 3, tzinfo=timezone.utc)
        new_run("manual", state="running", logical_date=date, task_states={"first": "scheduled"})
        told = say("task_failed_deps", **at("2026-03-03", "first", "manual"))
        assert told == ("Task instance dependencies are all met.\n", "")

    def test_a_task_that_has_ended_waits_to_be_cleared(self, say):
        told = say("task_failed_deps", **at(ETL_DATE, "load.orders"))
        assert "Task Instance State: Task is in the 'success' state" in told.stdout

    @pytest.mark.parametrize(
        ("arguments", "wanted"),
        [
            (
                at("2020-01-01", "load.orders"),
                (f"Task instance dependencies not met:\n{NO_RUN}\n", ""),
            ),
            (at("2020-01-01", "nothing"), ("", "Task nothing not found")),
            (at(ETL_DATE, "nothing"), ("", "Task nothing not found")),
            (at("never", "start"), ("", "error: argument execution_date: invalid parse value: 'never'")),
        ],
        ids=["no_run", "no_run_no_task", "no_task", "no_date"],
    )
    def test_what_is_not_there_is_told(self, say, arguments, wanted):
        assert say("task_failed_deps", **arguments) == wanted

    def test_an_instance_of_a_mapped_task_cannot_be_named(self, say):
        told = say("task_failed_deps", **at("2026-01-02", "double", "mapped"))
        assert told.stdout == ""
        assert "has no instance of the task 'double'" in told.stderr

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_task_instances_may_ask(self, old, role, status):
        answer = old("clairvoyant", "task_failed_deps", at(ETL_DATE, "start"), role=role)
        assert answer.status_code == status


class TestRender:
    def test_each_field_is_a_block(self, say):
        told = say("render", **at(ETL_DATE, "load.orders"))
        assert told.stdout == (
            f"{HASH_RULE}\n# property: bash_command\n{HASH_RULE}\necho 10\n\n"
            f"{HASH_RULE}\n# property: env\n{HASH_RULE}\n{{'MODE': 'full'}}\n\n"
        )
        assert told.stderr == ""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (at("2020-01-01", "load.orders"), "DagRun for etl with run_id or logical_date of '2020-01-01T"),
            (at("2026-01-07T01:30:00", "check"), "Nothing rendered is stored for the task 'check'"),
            (at(ETL_DATE, "nothing"), "Task nothing not found"),
            (at("2020-01-01", "nothing"), "Task nothing not found"),
            (at("2026-01-02", "double", "mapped"), "The task 'double' is mapped"),
            (at("0", "start"), "error: argument execution_date: invalid parse value: '0'"),
        ],
        ids=["no_run", "not_stored", "no_task", "no_run_no_task", "mapped", "no_date"],
    )
    def test_what_cannot_be_rendered_is_told(self, say, arguments, sentence):
        told = say("render", **arguments)
        assert told.stdout == ""
        assert told.stderr.startswith(sentence)

    @pytest.mark.parametrize("name", ["render", "task_failed_deps"])
    def test_a_task_that_was_added_after_the_run_has_nothing_to_tell(self, say, name):
        told = say(name, **at("2026-01-03", "new_task", "versioned"))
        assert told.stdout == ""
        assert told.stderr.endswith("has no instance of the task 'new_task'.")

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_task_instances_may_ask(self, old, role, status):
        assert old("clairvoyant", "render", at(ETL_DATE, "start"), role=role).status_code == status

    @pytest.mark.in_process
    def test_a_date_without_a_run_is_rendered_for_those_who_may(self):
        caller, orders = mock.Mock(), []

        def carried_out(order, **_limits):
            orders.append(order)
            return Ending("done", 0, {"fields": {"bash_command": "echo 10"}})

        date = datetime(2020, 1, 1, tzinfo=timezone.utc)
        with mock.patch.object(rendered_fields.attempt, "carry_out", carried_out):
            printed = rendering.printed("etl", "load.orders", date, caller=caller)
        assert printed == f"{HASH_RULE}\n# property: bash_command\n{HASH_RULE}\necho 10\n\n"
        assert [(order["dag_run_id"], order["logical_date"]) for order in orders] == [
            (None, date.isoformat())
        ]
        caller.permissions.require_switch.assert_called_once_with("test_enabled")
        caller.permissions.require_power.assert_called_once_with("test")

        caller.permissions.require_power.side_effect = errors.Denied("You lack the power.")
        with pytest.raises(rendering.Printed, match=r"not found\. You lack the power\."):
            rendering.printed("etl", "load.orders", date, caller=caller)


@pytest.mark.usefixtures("restored_database")
class TestTriggerDag:
    def test_a_client_reads_the_date_and_polls_with_it(self, say, rest):
        told = say("trigger_dag", dag_id="manual", conf='{"action": "deploy"}')
        dag_id, date, run_id = CREATED.fullmatch(told.stdout).groups()
        moment = datetime.fromisoformat(date)
        assert (dag_id, told.stderr, moment.microsecond) == ("manual", "", 0)
        assert date == str(moment)
        assert run_id == f"manual__{moment.isoformat()}"
        run = rest.get(f"/dags/manual/dagRuns/{run_id}").json()
        assert (run["state"], run["conf"], run["run_type"]) == ("queued", {"action": "deploy"}, "manual")
        assert datetime.fromisoformat(run["logical_date"].replace("Z", "+00:00")) == moment
        # As the client of Airship Shipyard goes on, which drops the zone.
        ts = told.stdout.split("Created <DagRun manual @ ")[1].split(": ")[0]
        for polled in (ts, ts[:19].replace(" ", "T")):
            assert say("task_state", **at(polled, "first", "manual")).stdout == "None\n"
            assert say("dag_state", dag_id="manual", execution_date=polled).stdout == "queued\n"

    def test_ids_dates_and_configurations_are_taken_from_query_and_form(self, say, rest):
        form = {"run_id": "by+hand", "exec_date": "2026-02-03T04:05:06.789+02:00", "dag_id": "etl"}
        told = say("trigger_dag", dag_id="manual", form={**form, "conf": '{"a": [1, "b c"]}'})
        assert told.stdout == (
            "Created <DagRun manual @ 2026-02-03 02:05:06+00:00: by+hand, externally triggered: True>\n"
        )
        assert rest.get("/dags/manual/dagRuns/by+hand").json()["conf"] == {"a": [1, "b c"]}
        unnamed = say("trigger_dag", dag_id="manual", exec_date="2026-02-03T05:05:06+02:00")
        assert unnamed.stdout == (
            "Created <DagRun manual @ 2026-02-03 03:05:06+00:00: manual__2026-02-03T05:05:06+02:00, "
            "externally triggered: True>\n"
        )

    def test_a_run_of_a_date_to_come_waits_for_it(self, say, rest):
        to_come = (datetime.now(timezone.utc) + timedelta(days=1)).replace(microsecond=0)
        say("trigger_dag", dag_id="manual", run_id="later", exec_date=to_come.isoformat())
        run = rest.get("/dags/manual/dagRuns/later").json()
        assert run["run_after"] == run["logical_date"] == to_come.isoformat().replace("+00:00", "Z")

    def test_what_airflow_refuses_is_told_and_makes_no_run(self, say, rest):
        before = rest.get("/dags/manual/dagRuns").json()["total_entries"]
        date = "2026-02-04T00:00:00+00:00"
        trigger = partial(say, "trigger_dag", dag_id="manual")
        assert trigger(run_id="once", exec_date=date).stderr == ""
        refusals = [
            ({"run_id": "once"}, "Run id once already exists for dag id manual"),
            ({"run_id": "once", "exec_date": date}, "Run id once already exists for dag id manual"),
            ({"run_id": "twice", "exec_date": date}, f"has a run with the logical date '{date}': 'once'."),
            ({"exec_date": date}, f"has a run with the logical date '{date}': 'once'."),
            ({"run_id": "a/b c"}, "a/b c"),
            ({"run_id": "x" * 251}, "The run_id is longer than 250 characters."),
            ({"run_id": "scheduled__x"}, "scheduled__x"),
            ({"exec_date": "tomorrow"}, "error: argument -e/--exec_date: invalid parse value: 'tomorrow'"),
            (
                {"dag_id": "etl", "exec_date": "2020-01-01"},
                "should be >= start_date [2025-11-30T23:00:00+00:00]",
            ),
            ({"dag_id": "needs_params", "conf": '{"count": 0}'}, "count"),
            *(
                ({"conf": text}, "conf")
                for text in ("{'key': 1}", "[1]", '"x"', '{"a": NaN}', "[" * 500, "{" * 9)
            ),
        ]
        for arguments, sentence in refusals:
            told = say("trigger_dag", **{"dag_id": "manual", **arguments})
            assert told.stdout == "", arguments
            assert sentence in told.stderr, arguments
        assert rest.get("/dags/manual/dagRuns").json()["total_entries"] == before + 1

    def test_a_number_that_would_become_another_one_is_refused(self, say):
        assert "64 bits" in say("trigger_dag", dag_id="manual", conf='{"n": 123456789012345678901}').stderr

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200)]
    )
    def test_who_may_trigger_runs_triggers_them(self, old, role, status):
        answer = old("clairvoyant", "trigger_dag", {"dag_id": "manual"}, role=role)
        assert answer.status_code == status

    def test_runs_in_a_burst_have_dates_of_their_own_that_are_never_in_the_future(self, say, rest):
        def trigger(run_id):
            named = {"run_id": f"named-{run_id}"} if run_id % 2 else {}
            made = CREATED.fullmatch(say("trigger_dag", dag_id="manual", **named).stdout).groups()
            return (*made, datetime.now(timezone.utc))

        made = [trigger(number) for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            made += pool.map(trigger, range(4, 12))
        assert len({date for _, date, *_ in made}) == len({run_id for _, _, run_id, _ in made}) == 12
        for _, date, run_id, end in made:
            moment = datetime.fromisoformat(date)
            assert moment <= end
            assert run_id.startswith("named-") or run_id == f"manual__{moment.isoformat()}"
            run = rest.get(f"/dags/manual/dagRuns/{run_id}").json()
            assert datetime.fromisoformat(run["run_after"].replace("Z", "+00:00")) <= end
        dates = [datetime.fromisoformat(date) for _, date, *_ in made[:4]]
        assert dates == sorted(dates)

    def test_of_two_at_once_one_makes_the_run(self, say):
        arguments = {"dag_id": "manual", "run_id": "at-once", "exec_date": "2026-02-05"}
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(lambda _: say("trigger_dag", **arguments), range(2)))
        assert sorted(one.stderr for one in told) == ["", "Run id at-once already exists for dag id manual"]

    def test_looking_at_the_head_triggers_nothing(self, old, rest):
        before = rest.get("/dags/manual/dagRuns").json()["total_entries"]
        old("clairvoyant", "trigger_dag", {"dag_id": "manual"}, method="HEAD")
        assert rest.get("/dags/manual/dagRuns").json()["total_entries"] == before
