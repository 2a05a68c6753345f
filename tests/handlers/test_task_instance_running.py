"""Running one task instance now: `openapi/paths/task_instance_running.yaml`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.task.trigger_rule import TriggerRule
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.runs import scheduling_forecast
from airflow_rest_api.services.runs.scheduling_forecast import Forecast
from tests.support.dag_runs import of_type
from tests.support.scheduling import decided

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("selection_dags")]
# The states of two tasks before another one.
DEAD = ["no_scheduler_alive", "no_dag_processor_alive"]
BEFORE = [
    *((state, "success") for state in (None, "running", "success", "failed", "skipped", "upstream_failed")),
    *((state, state) for state in (None, "failed", "skipped", "upstream_failed")),
    ("failed", None),
    ("skipped", "running"),
]
ACTIVE = ("scheduled", "queued", "running", "restarting", "deferred", "awaiting_input")


def run_now(rest, run, task_id, role="admin", **query):
    return rest.post(f"{run.path}/taskInstances/{task_id}/run", params=query, role=role)


def instances(rest, run):
    found = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {entry["task_id"]: (entry["state"], entry["try_number"]) for entry in found}


def survives(run, task_id):
    """Tell whether the task is still scheduled, and its run not given up, after the scheduler has looked twice."""
    with create_session(scoped=False) as session:
        found = session.scalars(select(DagRun).filter_by(dag_id=run.dag_id, run_id=run.dag_run_id)).one()
        found.dag, found.state = structure.of_run(found, session), "running"
        session.flush()
        for _ in range(2):
            ready, _ = found.update_state(session=session, execute_callbacks=False)
            for instance in ready:
                instance.set_state("running", session=session)
            session.flush()
        mine = found.get_task_instance(task_id, session=session)
        state = (str(mine.state), str(found.state))
        session.rollback()
    return state == ("scheduled", "running")


def looking_at_it_first(monkeypatch, task_id):
    """Take chance out of Airflow: its scheduler looks at tasks in any order until it finds one that can go on."""
    found = DagRun.get_task_instances

    def in_order(self, **options):
        return sorted(found(self, **options), key=lambda instance: instance.task_id != task_id)

    monkeypatch.setattr(DagRun, "get_task_instances", in_order)


class TestRunTaskInstance:
    def test_one_that_has_ended_gets_a_new_try_and_the_rest_stays(self, rest, new_run):
        ended = dict.fromkeys("abcdef", "success")
        run = new_run("chain", state="success", task_states=ended)
        before = instances(rest, run)
        answer = run_now(rest, run, "d")
        assert answer.status_code == 200, answer.text
        assert answer.json()["task_instance"]["state"] == "scheduled"
        assert instances(rest, run) == {**before, "d": ("scheduled", before["d"][1] + 1)}
        assert rest.get(run.path).json()["state"] == "queued"
        assert len(rest.get(f"{run.path}/taskInstances/d/tries").json()["task_instances"]) == 2

    def test_the_whole_answer(self, rest, new_run):
        run = new_run("chain", state="running")
        answer = run_now(rest, run, "a").json()
        assert answer == {
            "dag_id": "chain",
            "dag_run_id": run.dag_run_id,
            "task_id": "a",
            "map_index": -1,
            "isolated": False,
            "held_back_by": answer["held_back_by"],
            "ignored_dependencies": [],
            "warnings": [],
            "task_instance": rest.get(f"{run.path}/taskInstances/a").json(),
        }
        # Nobody schedules in these tests; what runs of other tests are left with may hold it as well.
        assert set(answer["held_back_by"]) >= set(DEAD)

    def test_one_that_waits_for_others_does_so_no_more(self, rest, new_run):
        run = new_run("chain", state="running", task_states={"a": "success", "b": "running"})
        answer = run_now(rest, run, "d")
        assert answer.status_code == 200, answer.text
        (ignored,) = answer.json()["ignored_dependencies"]
        assert ignored["name"] == "Trigger Rule"
        assert instances(rest, run)["d"] == ("scheduled", 1)
        assert survives(run, "d")

    def test_the_next_try_comes_at_once(self, rest, new_run):
        run = new_run("chain", state="running", task_states={"a": "up_for_retry"})
        tries = instances(rest, run)["a"][1]
        assert run_now(rest, run, "a").status_code == 200
        assert instances(rest, run)["a"] == ("scheduled", tries + 1)

    @pytest.mark.parametrize("state", ACTIVE)
    def test_one_that_is_active_is_left_alone(self, rest, new_run, state):
        run = new_run("chain", state="running", task_states={"a": state})
        answer = run_now(rest, run, "a")
        assert answer.status_code == 409
        of_type(answer, "task-instance-is-active")
        assert instances(rest, run)["a"][0] == state

    def test_a_second_call_is_refused(self, rest, new_run):
        run = new_run("chain", state="running")
        assert [run_now(rest, run, "a").status_code for _ in range(2)] == [200, 409]

    def test_of_two_at_once_one_is_refused(self, rest, new_run):
        run = new_run("chain", state="running")
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: run_now(rest, run, "a"), range(2)))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert instances(rest, run)["a"] == ("scheduled", 1)

    def test_a_key_repeats_the_answer(self, rest, new_run):
        run = new_run("chain", state="running")
        path, key = f"{run.path}/taskInstances/a/run", {"Idempotency-Key": str(uuid4())}
        first, second = (rest.post(path, headers=key) for _ in range(2))
        assert (first.status_code, first.content) == (200, second.content)

    def test_nothing_to_execute_succeeds_at_once_whatever_is_before(self, rest, new_run):
        run = new_run("manual", state="running", task_states={"first": "failed"})
        answer = run_now(rest, run, "second")
        assert (answer.status_code, answer.json()["task_instance"]["state"]) == (200, "success")

    def test_a_paused_dag_is_told(self, rest, new_run):
        run = new_run("chain", state="running")
        rest.patch("/dags/chain", json={"is_paused": True})
        assert "dag_is_paused" in run_now(rest, run, "a").json()["held_back_by"]
        rest.patch("/dags/chain", json={"is_paused": False})

    def test_a_dry_run_changes_nothing(self, rest, new_run):
        run = new_run("chain", state="success", task_states=dict.fromkeys("abcdef", "success"))
        before = instances(rest, run)
        answer = run_now(rest, run, "d", dry_run=True)
        assert answer.json()["preview"] == {
            "task_instances": 1,
            "held_back_by": answer.json()["held_back_by"],
        }
        assert instances(rest, run) == before
        assert rest.get(run.path).json()["state"] == "success"

    @pytest.mark.parametrize(
        ("dag_id", "run_id", "task_id", "name"),
        [
            ("chain", "no_such_run", "a", "dag-run-not-found"),
            ("no_such_dag", "no_such_run", "a", "dag-run-not-found"),
            ("chain", None, "no_such_task", "task-not-found"),
        ],
        ids=str,
    )
    def test_what_is_not_there_is_not_found(self, rest, new_run, dag_id, run_id, task_id, name):
        run_id = run_id or new_run("chain").dag_run_id
        answer = rest.post(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/run")
        assert answer.status_code == 404
        of_type(answer, name)

    def test_an_index_that_is_not_there_is_not_found(self, rest, new_run):
        answer = run_now(rest, new_run("feeding", state="running"), "tell", map_index=7)
        of_type(answer, "task-instance-not-found")

    def test_a_mapped_task_needs_an_index(self, rest, new_run):
        run = new_run("feeding", state="running")
        of_type(run_now(rest, run, "tell"), "map-index-needed")
        of_type(run_now(rest, run, "double"), "task-not-expanded")
        answer = run_now(rest, run, "tell", map_index=1)
        assert (answer.status_code, answer.json()["map_index"]) == (200, 1)
        found = rest.get(f"{run.path}/taskInstances/tell/listMapped").json()["task_instances"]
        assert [entry["state"] for entry in found] == [None, "scheduled"]

    def test_who_may_not_is_refused(self, rest, new_run):
        run = new_run("chain", state="running")
        for role, status in (("viewer", 403), ("nobody", 403), (None, 401), ("user", 200)):
            assert run_now(rest, run, "a", role=role).status_code == status

    @pytest.mark.slow
    @pytest.mark.parametrize("rule", [rule.value for rule in TriggerRule])
    def test_what_the_scheduler_would_end_is_refused_and_nothing_else(self, rest, new_run, rule, monkeypatch):
        """Airflow's own scheduling decides what it ends, with each state of one task before, or of both."""
        looking_at_it_first(monkeypatch, "t")
        wrong = {}
        for a, b in BEFORE:
            run = new_run(f"rule_{rule}", state="running", task_states={"a": a, "b": b, "t": "failed"})
            answer = run_now(rest, run, "t")
            if answer.status_code == 409:
                of_type(answer, "task-cannot-run-here")
                assert answer.json()["dependencies"]
                with monkeypatch.context() as patch:
                    patch.setattr(scheduling_forecast, "of", lambda *_: Forecast(True, []))
                    assert run_now(rest, run, "t").status_code == 200
            if survives(run, "t") != (answer.status_code == 200):
                wrong[a, b] = answer.status_code
        assert wrong == {}

    def test_one_that_a_branch_decided_against_is_refused(self, rest, new_run):
        from airflow.models.xcom import XComModel

        run = new_run("branching", state="success", task_states={"choose": "success", "left": "skipped"})
        with create_session(scoped=False) as session:
            XComModel.set(
                key="skipmixin_key",
                value={"followed": ["right"]},
                dag_id="branching",
                task_id="choose",
                run_id=run.dag_run_id,
                session=session,
            )
        answer = run_now(rest, run, "left")
        of_type(answer, "task-cannot-run-here")
        assert [one["name"] for one in answer.json()["dependencies"]] == ["Not Previously Skipped"]
        assert run_now(rest, run, "right").status_code == 200

    def test_the_past_does_not_hold_it(self, rest, new_run):
        from datetime import datetime, timezone

        new_run("past", state="running", logical_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
        states = {"plain": "success"}
        run = new_run(
            "past",
            state="running",
            logical_date=datetime(2026, 1, 2, tzinfo=timezone.utc),
            task_states=states,
        )
        answer = run_now(rest, run, "careful")
        assert [one["name"] for one in answer.json()["ignored_dependencies"]] == ["Previous Dagrun State"]
        assert survives(run, "careful")


class TestIsolated:
    @pytest.fixture
    def failed(self, new_run):
        states = {"a": "failed", **dict.fromkeys("bcde", "upstream_failed"), "f": "success"}
        return new_run("chain", state="failed", task_states=states, conf={"day": "Monday"})

    def test_it_runs_alone_in_a_new_run(self, rest, failed):
        before = instances(rest, failed)
        of_type(run_now(rest, failed, "d"), "task-cannot-run-here")
        answer = run_now(rest, failed, "d", isolated=True)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["isolated"]
        assert told["task_instance"]["dag_run_id"] == told["dag_run_id"] != failed.dag_run_id
        run = rest.get(f"/dags/chain/dagRuns/{told['dag_run_id']}").json()
        assert (run["conf"], run["logical_date"], run["state"]) == ({"day": "Monday"}, None, "queued")
        assert run["selection"]["task_ids"] == ["d"]
        assert decided("chain", told["dag_run_id"])[:2] == (["d"], "success")
        assert instances(rest, failed) == before

    def test_a_dry_run_makes_none(self, rest, failed):
        before = rest.get("/dags/chain/dagRuns").json()["total_entries"]
        answer = run_now(rest, failed, "d", isolated=True, dry_run=True)
        told = answer.json()
        assert told["preview"] == {"task_instances": 1, "held_back_by": told["held_back_by"]}
        assert rest.get("/dags/chain/dagRuns").json()["total_entries"] == before

    def test_one_instance_of_a_mapped_task_runs_alone(self, rest, new_run):
        run = new_run("feeding", state="running")
        of_type(run_now(rest, run, "tell", isolated=True), "map-index-needed")
        told = run_now(rest, run, "tell", isolated=True, map_index=1).json()
        found = rest.get(f"/dags/feeding/dagRuns/{told['dag_run_id']}/taskInstances/tell/listMapped")
        assert [entry["state"] for entry in found.json()["task_instances"]] == ["skipped", None]
        selection = rest.get(f"/dags/feeding/dagRuns/{told['dag_run_id']}").json()["selection"]
        assert selection["states"] == {"none": 1}
        of_type(run_now(rest, run, "tell", isolated=True, map_index=7), "task-instance-not-found")

    def test_what_needs_others_is_refused(self, rest, new_run):
        answer = run_now(rest, new_run("feeding", state="running"), "double", isolated=True, map_index=0)
        of_type(answer, "mapped-task-needs-feeder")
        answer = run_now(rest, new_run("rule_all_failed", state="running"), "t", isolated=True)
        of_type(answer, "trigger-rule-cannot-fire")

    def test_absent_results_are_warned_of(self, rest, new_run):
        told = run_now(rest, new_run("reading", state="running"), "reader", isolated=True).json()
        assert [warning["code"] for warning in told["warnings"]] == ["xcom_is_absent"]

    def test_who_may_not_trigger_may_not_isolate(self, rest, failed, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions
        from airflow_rest_api.services import errors

        def deny(self, dag_id, method, access_entity=None):
            if (method, access_entity) == ("POST", "RUN"):
                raise errors.Denied("Not this one.")

        monkeypatch.setattr(AirflowPermissions, "require_dag", deny)
        assert run_now(rest, failed, "d", isolated=True).status_code == 403

    def test_a_task_of_the_old_version_alone_is_not_found(self, rest, scenario):
        path = f"{scenario.old_version.path}/taskInstances/old_task/run"
        answer = rest.post(path, params={"isolated": True})
        of_type(answer, "task-not-found")


def test_a_removed_instance_is_told(rest, new_run):
    run = new_run("chain", state="running")
    with create_session(scoped=False) as session:
        mine = {"dag_id": "chain", "run_id": run.dag_run_id, "task_id": "a"}
        session.execute(update(TaskInstance).filter_by(**mine).values(state="removed"))
    assert run_now(rest, run, "a").status_code == 200
