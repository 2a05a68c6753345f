"""TaskInstance: single instances, dependencies and rendered fields."""

from __future__ import annotations

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select, update

from tests.support.task_instances import at, changed


class TestGetTaskInstance:
    def test_the_whole_answer_is_airflows(self, parity, scenario):
        ours, theirs = parity("GET", at(scenario.example, "runme_0"))
        assert ours.json()["rendered_fields"] == {"bash_command": 'echo "example"', "env": None}
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.parametrize("task", ["load.orders", "check", "report", "load.customers"])
    def test_every_state_is_told_as_airflow_tells_it(self, parity, scenario, task):
        parity("GET", at(scenario.running, task))

    def test_a_mapped_task_needs_an_index(self, parity, scenario):
        ours, _ = parity("GET", at(scenario.mapped_run, "double"))
        assert ours.json()["type"].endswith(":task-is-mapped")

    @pytest.mark.parametrize(
        "path", ["/dags/x/dagRuns/y/taskInstances/z", "/dags/etl/dagRuns/y/taskInstances/start"]
    )
    def test_what_does_not_exist_is_not_found(self, parity, scenario, path):
        parity("GET", path)
        ours, _ = parity("GET", at(scenario.failed, "no_such_task"))
        assert ours.json()["detail"] == (
            "The run 'scheduled__2026-01-06T01:30:00+00:00' of the DAG 'etl' "
            "has no instance of the task 'no_such_task'."
        )

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.example, "runme_0"), role=role)


class TestGetTaskInstanceDependencies:
    @pytest.mark.parametrize("run", ["running", "queued", "failed", "succeeded"])
    @pytest.mark.parametrize("task", ["start", "load.orders", "check", "report"])
    def test_the_whole_answer_is_airflows(self, parity, scenario, run, task):
        parity("GET", at(getattr(scenario, run), task, "dependencies"))

    def test_what_holds_a_task_back_is_told_by_name(self, rest, scenario):
        answer = rest.get(at(scenario.queued, "report", "dependencies")).json()
        assert [dependency["name"] for dependency in answer["dependencies"]] == [
            *("Dagrun Running", "Task Instance State", "Trigger Rule"),
        ]

    def test_an_index_can_be_given(self, parity, scenario):
        parity("GET", at(scenario.mapped_run, "say", "dependencies"), params={"map_index": 2})
        parity("GET", at(scenario.mapped_run, "say", "dependencies"), params={"map_index": -1})

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_nothing_is_changed_by_looking(self, rest, new_run, monkeypatch):
        from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep

        run = new_run("manual", state="running")

        def meddling(self, ti, dep_context, *, session):
            ti.state = "skipped"
            session.flush()
            yield self._failing_status(reason="It meddles.")

        monkeypatch.setattr(TriggerRuleDep, "_get_dep_statuses", meddling)
        answer = rest.get(at(run, "first", "dependencies"))
        assert "It meddles." in str(answer.json())
        with create_session(scoped=False) as session:
            states = session.scalars(select(TaskInstance.state).where(TaskInstance.run_id == run.dag_run_id))
            assert set(states) == {None}

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_a_run_of_a_bundle_with_versions_goes_by_its_own(self, parity, scenario):
        run = scenario.old_version
        changed(run, "old_task", state=None)
        with create_session(scoped=False) as session:
            chosen = (DagRun.dag_id == run.dag_id, DagRun.run_id == run.dag_run_id)
            session.execute(update(DagRun).where(*chosen).values(bundle_version="8f2c1e0"))
        ours, _ = parity("GET", at(run, "old_task", "dependencies"))
        assert ours.json()["dependencies"]

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_a_task_that_the_dag_no_longer_has_waits_for_nothing(self, parity, new_run):
        run = new_run("manual", state="running")
        changed(run, "first", task_id="gone")
        ours, _ = parity("GET", at(run, "gone", "dependencies"))
        assert ours.json() == {"dependencies": []}

    def test_what_does_not_exist_is_not_found(self, parity, scenario):
        parity("GET", at(scenario.failed, "x", "dependencies"))
        parity("GET", at(scenario.failed, "start", "dependencies"), params={"map_index": 3})

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.running, "check", "dependencies"), role=role)


class TestGetTaskInstanceDependenciesByMapIndex:
    @pytest.mark.parametrize("index", [0, 1, 2, 3, 9, -1])
    def test_the_answer_is_airflows(self, parity, scenario, index):
        parity("GET", at(scenario.mapped_run, "say", index, "dependencies"))

    def test_an_instance_without_a_state_waits(self, parity):
        path = "/dags/mapped/dagRuns/manual__2026-01-05T00:00:00+00:00/taskInstances/say/0/dependencies"
        ours, _ = parity("GET", path)
        assert ours.json()["dependencies"]


class TestGetRenderedFields:
    def test_the_whole_answer(self, rest, scenario):
        answer = rest.get(at(scenario.succeeded, "load.orders", "renderedFields"))
        assert answer.json() == {
            "dag_id": "etl",
            "dag_run_id": scenario.succeeded.dag_run_id,
            "task_id": "load.orders",
            "map_index": -1,
            "fields": {"bash_command": "echo 10", "env": {"MODE": "full"}},
            "source": "stored",
        }

    def test_rendering_live_is_switched_off_unless_told_otherwise(self, rest, scenario):
        answer = rest.get(at(scenario.succeeded, "load.orders", "renderedFields"), params={"source": "live"})
        assert (answer.status_code, answer.json()["switch"]) == (403, "test_enabled")

    def test_the_fields_are_those_of_the_task_instance(self, rest, scenario):
        fields = rest.get(
            at(scenario.mapped_run, "double", "renderedFields"), params={"map_index": 0}
        ).json()["fields"]
        assert fields == rest.get(at(scenario.mapped_run, "double", 0)).json()["rendered_fields"]

    def test_a_mapped_task_needs_an_index(self, rest, scenario):
        answer = rest.get(at(scenario.mapped_run, "double", "renderedFields"))
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "map-index-needed")

    def test_a_task_that_has_not_run_has_none(self, rest, scenario):
        answer = rest.get(at(scenario.running, "check", "renderedFields"))
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
            404,
            "rendered-fields-not-found",
        )

    @pytest.mark.parametrize(("task", "index"), [("x", -1), ("double", 9)])
    def test_what_does_not_exist_is_not_found(self, rest, scenario, task, index):
        answer = rest.get(at(scenario.mapped_run, task, "renderedFields"), params={"map_index": index})
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
            404,
            "task-instance-not-found",
        )

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_reads_task_instances_reads_them(self, rest, scenario, role, status):
        assert rest.get(at(scenario.example, "runme_0", "renderedFields"), role=role).status_code == status
