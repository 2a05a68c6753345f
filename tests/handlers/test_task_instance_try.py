"""TaskInstance: the tries, present and earlier."""

from __future__ import annotations

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.session import create_session
from sqlalchemy import update


def at(run, *parts):
    return "/".join([f"{run.path}/taskInstances", *map(str, parts)])


def by_number(answer):
    """Airflow gives the earlier tries in no order of its own; ours are by number."""
    return {**answer, "task_instances": sorted(answer["task_instances"], key=lambda one: one["try_number"])}


class TestGetTaskInstanceTries:
    def test_the_whole_answer_is_airflows(self, parity, scenario):
        ours, theirs = parity("GET", at(scenario.failed, scenario.retried_task, "tries"), normalise=by_number)
        assert [one["try_number"] for one in ours.json()["task_instances"]] == [1, 2, 3]
        assert list(ours.json()["task_instances"][0]) == list(theirs.json()["task_instances"][0])

    @pytest.mark.parametrize("task", ["start", "load.orders", "load.customers", "check", "report"])
    def test_every_state_is_told_as_airflow_tells_it(self, parity, scenario, task):
        parity("GET", at(scenario.running, task, "tries"), normalise=by_number)

    def test_a_try_that_waits_for_the_next_is_told_once(self, parity, new_run):
        run = new_run("manual", state="running", task_states={"first": "up_for_retry"})
        with create_session(scoped=False) as session:
            chosen = (TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "first")
            instance = session.query(TaskInstance).filter(*chosen).one()
            TaskInstanceHistory.record_ti(instance, session=session)
        ours, _ = parity("GET", at(run, "first", "tries"))
        assert [one["state"] for one in ours.json()["task_instances"]] == ["failed"]

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_an_index_can_be_given(self, parity, scenario, index):
        path = at(scenario.mapped_run, "double", "tries")
        parity("GET", path, params={"map_index": index}, normalise=by_number)

    @pytest.mark.parametrize(
        ("task", "index"), [("no_such_task", None), ("double", None), ("double", 9), ("total", 0)]
    )
    def test_what_does_not_exist_is_not_found(self, parity, scenario, task, index):
        params = {} if index is None else {"map_index": index}
        ours, _ = parity("GET", at(scenario.mapped_run, task, "tries"), params=params)
        assert ours.json()["type"].endswith(":task-instance-not-found")

    def test_an_index_is_a_number(self, parity, scenario):
        ours, _ = parity("GET", at(scenario.mapped_run, "double", "tries"), params={"map_index": "x"})
        assert ours.status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.example, "runme_0", "tries"), role=role)

    @pytest.mark.postgres
    def test_on_postgresql_the_answer_is_airflows_as_well(self, parity, scenario):
        parity("GET", at(scenario.failed, scenario.retried_task, "tries"), normalise=by_number)
        parity("GET", at(scenario.failed, scenario.retried_task, "tries", 2))


class TestGetMappedTaskInstanceTries:
    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_the_whole_answer_is_airflows(self, parity, scenario, index):
        ours, _ = parity("GET", at(scenario.mapped_run, "double", index, "tries"), normalise=by_number)
        assert ours.json()["total_entries"] == (2 if index == 1 else 1)

    @pytest.mark.parametrize("index", [-1, 9])
    def test_what_does_not_exist_is_not_found(self, parity, scenario, index):
        parity("GET", at(scenario.mapped_run, "double", index, "tries"))

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.mapped_run, "double", 0, "tries"), role=role)


class TestGetTaskInstanceTryDetails:
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_the_whole_answer_is_airflows(self, parity, scenario, number):
        ours, theirs = parity("GET", at(scenario.failed, scenario.retried_task, "tries", number))
        assert ours.json()["try_number"] == number
        assert list(ours.json()) == list(theirs.json())

    def test_a_task_that_has_not_run_has_the_try_0(self, parity, scenario):
        parity("GET", at(scenario.queued, "start", "tries", 0))

    def test_of_two_tries_with_one_number_the_present_one_is_told(self, parity, new_run):
        run = new_run("manual", state="running", task_states={"first": "up_for_retry"})
        with create_session(scoped=False) as session:
            chosen = (TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "first")
            instance = session.query(TaskInstance).filter(*chosen).one()
            TaskInstanceHistory.record_ti(instance, session=session)
        ours, _ = parity("GET", at(run, "first", "tries", 1))
        assert ours.json()["state"] == "up_for_retry"

    def test_odd_rows_are_told_as_airflow_tells_them(self, parity, new_run):
        run = new_run("manual", state="running", task_states={"first": "success"})
        with create_session(scoped=False) as session:
            chosen = (TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "first")
            odd = {"executor_config": None, "custom_operator_name": "", "dag_version_id": None, "queue": None}
            session.execute(update(TaskInstance).where(*chosen).values(**odd))
        parity("GET", at(run, "first", "tries", 1))

    @pytest.mark.parametrize(("task", "number"), [("start", 9), ("no_such_task", 1)])
    def test_what_does_not_exist_is_not_found(self, parity, scenario, task, number):
        ours, _ = parity("GET", at(scenario.failed, task, "tries", number))
        assert ours.json()["type"].endswith(":try-not-found")

    def test_a_negative_number_is_malformed(self, rest, scenario):
        # Airflow looks for it (404); there is none.
        assert rest.get(at(scenario.failed, "start", "tries", -1)).status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.example, "runme_0", "tries", 1), role=role)


class TestGetMappedTaskInstanceTryDetails:
    @pytest.mark.parametrize(("index", "number"), [(0, 1), (1, 1), (1, 2)])
    def test_the_whole_answer_is_airflows(self, parity, scenario, index, number):
        ours, _ = parity("GET", at(scenario.mapped_run, "double", index, "tries", number))
        assert (ours.json()["map_index"], ours.json()["try_number"]) == (index, number)

    @pytest.mark.parametrize(("index", "number"), [(-1, 1), (9, 1), (0, 2)])
    def test_what_does_not_exist_is_not_found(self, parity, scenario, index, number):
        parity("GET", at(scenario.mapped_run, "double", index, "tries", number))

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.mapped_run, "double", 0, "tries", 1), role=role)
