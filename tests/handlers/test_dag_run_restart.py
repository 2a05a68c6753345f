"""Restarting what failed, in one run and in many; `tests/live/test_restart.py` has a scheduler that goes on with it."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import pytest
from sqlalchemy import delete, func, select, update

from airflow_rest_api.services.background import Background, Kind
from airflow_rest_api.services.database import unit_of_work, write
from airflow_rest_api.services.kinds import KINDS
from airflow_rest_api.services.runs import dag_runs_restart
from airflow_rest_api.storage.tables import operation as table
from tests.support import work
from tests.support.dag_runs import of_type

FAILED = {"first": "success", "second": "failed", "third": "upstream_failed", "alone": "success"}
# No other run may start as late as the runs that these tests select.
LATE = datetime(2031, 1, 1, tzinfo=timezone.utc)
SELECTOR = {"run_after_gte": "2031-01-01T00:00:00Z"}


def states(rest, run) -> dict[str, str | None]:
    found = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {
        entry["task_id"] + (f"[{entry['map_index']}]" if entry["map_index"] >= 0 else ""): entry["state"]
        for entry in found
    }


def restart(rest, run, **options):
    return rest.post(f"{run.path}/restartFailed", **options)


class TestRestartFailedTasks:
    @pytest.mark.parametrize("state", ["failed", "success", "running"])
    def test_what_failed_and_all_downstream_of_it_is_cleared(self, rest, new_run, state):
        run = new_run(state=state, task_states={**FAILED, "third": "success"})
        answer = restart(rest, run)
        assert answer.status_code == 200
        assert answer.json() == {
            "dag_id": "manual",
            "dag_run_id": run.dag_run_id,
            "state": "running" if state == "running" else "queued",
            "failed_task_count": 1,
            "clear_task_count": 2,
            "task_instances": [
                {"task_id": "second", "map_index": -1, "state": "failed"},
                {"task_id": "third", "map_index": -1, "state": "success"},
            ],
        }
        assert states(rest, run) == {"first": "success", "second": None, "third": None, "alone": "success"}

    def test_two_branches_that_failed_are_both_cleared(self, rest, new_run):
        run = new_run(state="failed", task_states={**FAILED, "alone": "failed"})
        told = restart(rest, run).json()
        assert (told["failed_task_count"], told["clear_task_count"]) == (3, 3)
        assert states(rest, run) == {"first": "success", "second": None, "third": None, "alone": None}

    def test_of_a_mapped_task_only_what_failed_is_cleared(self, rest, new_run):
        run = new_run(
            "mapped",
            state="failed",
            task_states={
                "numbers": "success",
                "say[0]": "success",
                "say[1]": "failed",
                "say[2]": "success",
                "say[3]": "failed",
                "double": "upstream_failed",
                "total": "upstream_failed",
            },
        )
        told = restart(rest, run).json()
        assert [(entry["task_id"], entry["map_index"]) for entry in told["task_instances"]] == [
            ("double", -1),
            ("say", 1),
            ("say", 3),
            ("total", -1),
        ]
        found = states(rest, run)
        assert (found["say[0]"], found["say[1]"], found["say[2]"], found["say[3]"]) == (
            "success",
            None,
            "success",
            None,
        )

    def test_the_try_that_failed_stays_as_history(self, rest, new_run):
        run = new_run(state="failed", task_states=FAILED)
        before = rest.get(f"{run.path}/taskInstances/second").json()
        restart(rest, run)
        tries = rest.get(f"{run.path}/taskInstances/second/tries").json()["task_instances"]
        assert [entry["state"] for entry in tries if entry["state"]] == ["failed"]
        assert rest.get(f"{run.path}/taskInstances/second").json()["id"] != before["id"]

    def test_what_runs_downstream_is_ended_and_starts_anew(self, rest, new_run):
        run = new_run(state="running", task_states={**FAILED, "third": "running"})
        assert restart(rest, run).json()["clear_task_count"] == 2
        assert states(rest, run)["third"] == "restarting"

    def test_a_dry_run_tells_the_same_and_does_nothing(self, rest, new_run):
        run = new_run("manual", state="failed", task_states=FAILED)
        tried = restart(rest, run, params={"dry_run": True}).json()
        tried.pop("preview")
        assert states(rest, run) == FAILED
        assert rest.get(run.path).json()["state"] == "failed"
        assert restart(rest, run).json() == tried

    def test_a_dry_run_tells_what_would_hold_the_run_back(self, rest, new_run):
        run = new_run("manual_paused", state="failed", task_states={"only": "failed"})
        tried = restart(rest, run, params={"dry_run": True}).json()
        assert "dag_is_paused" in tried["preview"]["held_back_by"]

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_a_run_without_a_failed_task_is_left_alone(self, rest, new_run, dry_run):
        run = new_run(state="success", task_states=dict.fromkeys(FAILED, "success"))
        answer = restart(rest, run, params={"dry_run": dry_run})
        assert answer.status_code == 409
        of_type(answer, "run-has-no-failed-task")
        assert rest.get(run.path).json()["state"] == "success"

    def test_what_failed_and_is_in_the_dag_no_more_is_left_out(self, rest, new_run):
        run = new_run(state="failed", task_states=FAILED)
        with unit_of_work() as session:
            from airflow.models.taskinstance import TaskInstance

            gone = update(TaskInstance).where(
                TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "alone"
            )
            session.execute(gone.values(task_id="gone", state="failed"))
        told = restart(rest, run).json()
        assert [entry["task_id"] for entry in told["task_instances"]] == ["second", "third"]
        assert states(rest, run)["gone"] == "failed"

    def test_what_is_not_there_is_not_found(self, rest, scenario):
        for dag_id, run_id, kind in (
            (scenario.missing, "x", "dag-run-not-found"),
            (scenario.active, "no_such_run", "dag-run-not-found"),
        ):
            answer = rest.post(f"/dags/{dag_id}/dagRuns/{run_id}/restartFailed")
            assert answer.status_code == 404
            of_type(answer, kind)

    def test_of_two_at_once_one_restarts(self, rest, new_run):
        run = new_run(state="failed", task_states=FAILED)
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(restart(rest, run).status_code)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 409, 409, 409]

    def test_a_repetition_with_the_same_key_answers_the_same(self, rest, new_run):
        run = new_run(state="failed", task_states=FAILED)
        headers = {"Idempotency-Key": f"restart-{run.dag_run_id}"}
        first, second = (restart(rest, run, headers=headers) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.usefixtures("restored_database")
class TestRestartFailedDagRuns:
    @pytest.fixture
    def runs(self, new_run):
        return [new_run(state="failed", task_states=FAILED, run_after=LATE) for _ in range(45)]

    def begun(self, rest, role="admin", params=None, **selector):
        return rest.post(
            "/dagRuns/restartFailed", json={"selector": selector}, params=params or {}, role=role
        )

    def ended(self, rest, answer, role="admin"):
        assert answer.status_code == 202, answer.text
        place = f"/operations/{answer.json()['operation_id']}"
        assert answer.headers["location"].endswith(place)
        return rest.get(place, params={"wait": 30}, role=role).json()

    def test_every_failed_run_that_fits_is_restarted(self, rest, runs, new_run):
        whole = new_run(state="success", task_states=dict.fromkeys(FAILED, "success"), run_after=LATE)
        operation = self.ended(rest, self.begun(rest, **SELECTOR))
        assert (operation["state"], operation["progress"]) == ("succeeded", {"done": 45, "total": 45})
        assert [item["dag_run_id"] for item in operation["items"]] == [run.dag_run_id for run in runs]
        assert {item["state"] for item in operation["items"]} == {"restarted"}
        assert operation["result"] == {
            "restarted": 45,
            "nothing_failed": 0,
            "gone": 0,
            "refused": 0,
            "failed_task_count": 90,
            "clear_task_count": 90,
            "left_out": 0,
            "beyond_max_runs": 0,
            "failed": 0,
        }
        assert rest.get(runs[-1].path).json()["state"] == "queued"
        assert rest.get(whole.path).json()["state"] == "success"

    def test_no_more_than_wanted_are_taken_and_the_others_are_counted(self, rest, runs):
        operation = self.ended(rest, self.begun(rest, **SELECTOR, max_runs=3))
        assert [item["dag_run_id"] for item in operation["items"]] == [run.dag_run_id for run in runs[:3]]
        assert operation["result"]["beyond_max_runs"] == 42

    def test_runs_are_selected_by_tag_time_and_state(self, rest, new_run, scenario):
        run = new_run(state="running", task_states=FAILED, run_after=LATE)
        chosen = {
            "tags": ["fresh", "no_such_tag"],
            "run_after_gte": "2031-01-01T00:00:00Z",
            "run_after_lte": "2031-01-01T00:00:00Z",
            "states": ["running"],
        }
        operation = self.ended(rest, self.begun(rest, **chosen))
        assert [item["dag_run_id"] for item in operation["items"]] == [run.dag_run_id]
        for differing in (
            {"tags": ["nightly"]},
            {"run_after_gte": "2031-01-02T00:00:00Z"},
            {"run_after_lte": "2030-12-31T00:00:00Z", "run_after_gte": "2030-12-31T00:00:00Z"},
            {"states": ["failed"]},
            {"dag_id_pattern": "no such dag"},
        ):
            assert self.ended(rest, self.begun(rest, **{**chosen, **differing}))["items"] == []

    def test_a_dry_run_tells_what_has_failed_and_does_nothing(self, rest, runs):
        answer = self.begun(rest, **SELECTOR, max_runs=2, params={"dry_run": True})
        told = answer.json()
        assert (answer.status_code, told["operation_id"], told["state"]) == (202, None, "succeeded")
        assert "location" not in answer.headers
        assert told["items"] == [
            {
                "dag_id": "manual",
                "dag_run_id": run.dag_run_id,
                "state": "would_restart",
                "failed_task_count": 2,
                "error": None,
            }
            for run in runs[:2]
        ]
        assert told["result"] == {"left_out": 0, "beyond_max_runs": 43}
        assert rest.get(runs[0].path).json()["state"] == "failed"
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 0

    @pytest.mark.parametrize(
        "selector",
        [{}, {"max_runs": 5}, {"states": []}, {"states": ["up_for_retry"]}, {"dag_id_pattern": ""}, {"x": 1}],
        ids=str,
    )
    def test_a_selector_that_selects_nothing_in_particular_is_refused(self, rest, selector):
        assert self.begun(rest, **selector).status_code == 400

    def test_one_that_is_cancelled_stops_half_way(self, rest, runs):
        caller = work.admin()
        carrier = Background(KINDS)
        request = {
            "runs": [[run.dag_id, run.dag_run_id] for run in runs],
            "left_out": 0,
            "beyond_max_runs": 0,
        }
        seen = []

        def stopped_after_one_portion(given, report):
            do = report.do

            def once(portion):
                if seen:
                    rest.post(f"/operations/{operation_id}/cancel")
                seen.append(portion)
                do(portion)

            report.do = once
            return dag_runs_restart.carry_out(given, report)

        carrier = Background({dag_runs_restart.KIND: Kind(stopped_after_one_portion, True, resumes=True)})
        operation_id = write(lambda session: carrier.begin(session, dag_runs_restart.KIND, request, caller))
        carrier.run(operation_id)
        operation = rest.get(f"/operations/{operation_id}", params={"wait": 30}).json()
        assert (operation["state"], operation["progress"]["done"]) == ("cancelled", dag_runs_restart.AT_ONCE)
        found = [rest.get(run.path).json()["state"] for run in runs]
        assert found == ["queued"] * dag_runs_restart.AT_ONCE + ["failed"] * (45 - dag_runs_restart.AT_ONCE)

    def test_another_process_goes_on_where_one_died(self, rest, runs, new_run):
        caller = work.admin()
        carrier = Background(KINDS)
        request = {
            "runs": [[run.dag_id, run.dag_run_id] for run in runs],
            "left_out": 0,
            "beyond_max_runs": 0,
        }
        operation_id = write(lambda session: carrier.begin(session, dag_runs_restart.KIND, request, caller))
        with unit_of_work() as session:
            told = dag_runs_restart._item((runs[0].dag_id, runs[0].dag_run_id), "restarted", 2, 2)
            session.execute(
                update(table).values(
                    state="running", items=[told], done=1, worker="dead", leased_until=table.c.created_at
                )
            )
        carrier.look_after()
        operation = rest.get(f"/operations/{operation_id}", params={"wait": 30}).json()
        assert (operation["state"], operation["result"]["restarted"]) == ("succeeded", 45)
        assert rest.get(runs[0].path).json()["state"] == "failed"
        assert rest.get(runs[1].path).json()["state"] == "queued"

    def test_runs_that_are_gone_or_have_nothing_failed_any_more_are_told(self, rest, new_run):
        caller = work.admin()
        carrier = Background(KINDS)
        whole = new_run(state="success", task_states=dict.fromkeys(FAILED, "success"))
        request = {
            "runs": [["manual", "no_such_run"], [whole.dag_id, whole.dag_run_id]],
            "left_out": 2,
            "beyond_max_runs": 0,
        }
        operation_id = write(lambda session: carrier.begin(session, dag_runs_restart.KIND, request, caller))
        carrier.run(operation_id)
        operation = rest.get(f"/operations/{operation_id}", params={"wait": 30}).json()
        assert [item["state"] for item in operation["items"]] == ["gone", "nothing_failed"]
        assert (operation["state"], operation["result"]["left_out"]) == ("succeeded", 2)

    def test_a_run_whose_dag_is_unknown_is_refused_and_the_others_are_restarted(self, rest, runs, new_run):
        lost = new_run("manual_paused", state="failed", task_states={"only": "failed"}, run_after=LATE)
        with unit_of_work() as session:
            from airflow.models.serialized_dag import SerializedDagModel

            session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == lost.dag_id))
        operation = self.ended(rest, self.begun(rest, **SELECTOR))
        assert (operation["state"], operation["result"]["restarted"]) == ("failed", 45)
        assert [item for item in operation["items"] if item["state"] == "refused"] == [
            {
                "dag_id": lost.dag_id,
                "dag_run_id": lost.dag_run_id,
                "state": "refused",
                "failed_task_count": 0,
                "clear_task_count": 0,
                "error": "The DAG 'manual_paused' was not found.",
            }
        ]


class TestTheSelectorAndPermissions:
    def test_runs_of_dags_that_the_caller_may_not_change_are_left_out(self, restored_database, rest, new_run):
        from airflow_rest_api.services.caller import DagScope
        from airflow_rest_api.services.runs import selector

        class OnlyMapped:
            def dag_scope(self, method):
                assert method == "PUT"
                return DagScope(frozenset({"mapped", "manual"}), everything=False)

            def may_dag(self, dag_id, method, access_entity=None):
                assert (method, access_entity) == ("PUT", "TASK_INSTANCE")
                return dag_id == "mapped"

        mine = new_run("mapped", state="failed", run_after=LATE)
        for _ in range(3):
            new_run("manual", state="failed", run_after=LATE)
        found = selector.selected(SELECTOR, OnlyMapped(), states=["failed"], access_entity="TASK_INSTANCE")
        assert (found.runs, found.left_out, found.beyond_max_runs) == (
            ((mine.dag_id, mine.dag_run_id),),
            3,
            0,
        )
