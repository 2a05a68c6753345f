"""Changing and deleting task instances: `openapi/paths/task_instance.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tests.support.dag_runs import STATES, of_type
from tests.support.task_instances import at
from tests.support.twins import remains

MAPPED = {
    "numbers": "success",
    "say[0]": "failed",
    "say[1]": "running",
    "say[2]": "success",
    "say[3]": "deferred",
    "total": "upstream_failed",
}


def in_order(value):
    """The answer with its task instances in one order: `/api/v2` gives none to those that it would set."""
    entries = value.get("task_instances")
    if entries is None:
        return value
    return {
        **value,
        "task_instances": sorted(
            entries, key=lambda entry: (entry["dag_run_id"], entry["task_id"], entry["map_index"])
        ),
    }


def ordered(answer):
    """The response of a client with its task instances in one order."""
    import json

    if answer.is_success and answer.content:
        answer._content = json.dumps(in_order(answer.json())).encode()
    return answer


class TestPatchTaskInstance:
    @pytest.mark.slow
    @pytest.mark.parametrize("state", ["success", "failed", "skipped"])
    @pytest.mark.parametrize("task_id", ["first", "second", "third", "alone"])
    @pytest.mark.parametrize("run_state", ["running", "failed"])
    def test_states_are_set_as_by_airflow(self, alike, state, task_id, run_state):
        answer = alike(
            lambda client, run: client.patch(at(run, task_id), json={"new_state": state}),
            state=run_state,
            task_states=STATES,
        )
        present = STATES[task_id] == state
        assert answer.status_code == (409 if present else 200)
        if present:
            of_type(answer, "already-in-state")
        else:
            assert [entry["state"] for entry in answer.json()["task_instances"]] == [state]

    @pytest.mark.slow
    @pytest.mark.parametrize("state", ["success", "skipped"])
    @pytest.mark.parametrize(
        "reach",
        [
            {"include_upstream": True},
            {"include_downstream": True},
            {"include_upstream": True, "include_downstream": True},
            {"include_future": True, "include_past": True},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("run_state", ["running", "failed", "success"])
    def test_relatives_are_set_as_by_airflow(self, alike, state, reach, run_state):
        answer = alike(
            lambda client, run: client.patch(at(run, "second"), json={"new_state": state, **reach}),
            state=run_state,
            task_states=STATES,
        )
        assert answer.status_code == 200
        assert answer.json()["total_entries"] == 1

    @pytest.mark.parametrize(
        ("reach", "changed"),
        [
            ({}, {2}),
            ({"include_past": True}, {1, 2}),
            ({"include_future": True}, {2, 3}),
            ({"include_past": True, "include_future": True}, {1, 2, 3}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        ("dag_id", "first", "last"), [("etl", "start", "check"), ("manual", "first", "third")]
    )
    @pytest.mark.usefixtures("restored_database")
    def test_other_dates_are_reached_as_by_airflow(
        self, v2, rest, new_run, dag_id, first, last, reach, changed
    ):
        seen = []
        # Three weekdays on which `etl` has runs, far from all others.
        for client, year, days in ((v2, 2027, (5, 6, 7)), (rest, 2028, (4, 5, 6))):
            dates = [datetime(year, 1, day, 1, 30, tzinfo=timezone.utc) for day in days]
            failed = {first: "failed", last: "upstream_failed"}
            runs = [new_run(dag_id, state="failed", logical_date=date, task_states=failed) for date in dates]
            assert client.patch(at(runs[1], first), json={"new_state": "success", **reach}).status_code == 200
            seen.append([(_states(v2, run), v2.get(run.path).json()["state"]) for run in runs])
            assert all(v2.delete(run.path).status_code in (204, 409) for run in runs)
        assert seen[0] == seen[1]
        assert {day for day, (states, _) in enumerate(seen[1], 1) if states[first] == "success"} == changed

    @pytest.mark.parametrize("note", [None, "Before."])
    @pytest.mark.parametrize(
        ("params", "body"),
        [
            ({}, {"note": "After."}),
            ({}, {"note": ""}),
            ({}, {"note": None}),
            ({}, {}),
            ({}, {"note": "After.", "new_state": "skipped"}),
            ({"update_mask": "note"}, {"note": "After.", "new_state": "skipped"}),
            ({"update_mask": "note"}, {"note": None}),
            ({"update_mask": "note"}, {"note": ""}),
            ({"update_mask": ["new_state", "note"]}, {"new_state": "success"}),
            ({"update_mask": "new_state"}, {"note": "After.", "new_state": "skipped"}),
        ],
        ids=str,
    )
    def test_notes_and_masks_are_as_in_airflow(self, alike, note, params, body):
        def call(client, run):
            if note:
                client.patch(at(run, "second"), json={"note": note})
            return client.patch(at(run, "second"), params=params, json=body)

        answer = alike(call, state="running", task_states=STATES)
        assert answer.status_code == 200

    @pytest.mark.parametrize("state", ["success", "failed", "skipped"])
    def test_all_instances_of_a_mapped_task_are_set(self, alike, state):
        answer = alike(
            lambda client, run: client.patch(at(run, "say"), json={"new_state": state, "note": "All."}),
            dag_id="mapped",
            state="failed",
            task_states=MAPPED,
        )
        assert [entry["map_index"] for entry in answer.json()["task_instances"]] == [0, 1, 2, 3]
        assert {entry["state"] for entry in answer.json()["task_instances"]} == {state}

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/dags/no_such_dag/dagRuns/a/taskInstances/first", "dag-not-found"),
            ("/dags/manual/dagRuns/none/taskInstances/first", "task-instance-not-found"),
            ("/dags/manual/dagRuns/none/taskInstances/none", "task-not-found"),
        ],
    )
    @pytest.mark.parametrize("end", ["", "/dry_run", "/0", "/0/dry_run"])
    def test_what_does_not_exist_is_not_found(self, parity, path, name, end):
        ours, _ = parity("PATCH", path + end, json={"new_state": "success"})
        of_type(ours, name)

    @pytest.mark.parametrize(
        "body",
        [
            {"new_state": "running"},
            {"new_state": None},
            {"note": "x" * 1001},
            {"include_upstream": "perhaps"},
            {"colour": "blue"},
            [],
            None,
        ],
        ids=lambda value: str(value)[:30],
    )
    @pytest.mark.parametrize("end", ["", "/dry_run", "/-1", "/-1/dry_run"])
    def test_what_means_nothing_is_refused(self, parity, scenario, body, end):
        ours, _ = parity("PATCH", at(scenario.example, "runme_0") + end, json=body)
        of_type(ours, "malformed")

    @pytest.mark.parametrize("end", ["", "/dry_run", "/-1", "/-1/dry_run"])
    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 404), ("op", 404)]
    )
    def test_who_may_change(self, parity, role, status, end):
        path = f"/dags/manual/dagRuns/none/taskInstances/first{end}"
        ours, _ = parity("PATCH", path, json={"new_state": "success"}, role=role)
        assert ours.status_code == status

    @pytest.mark.in_process
    def test_listeners_are_told_of_each_task_instance_that_changed(self, rest, new_run, heard):
        run = new_run(state="running", task_states=STATES)
        for state in ("success", "failed", "skipped"):
            rest.patch(at(run, "second"), json={"new_state": state, "include_downstream": True})
        kinds = ("succeeded", "failed", "skipped")
        assert heard == [(f"task {kind}", name) for kind in kinds for name in ("second", "third")]

    @pytest.mark.in_process
    def test_a_task_that_is_set_to_success_forgets_its_stored_state_where_airflow_is_told_so(
        self, rest, new_run, monkeypatch
    ):
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
        run = new_run(state="running", task_states=STATES)
        _store(run, "second")
        _store(run, "third")
        assert rest.patch(at(run, "second"), json={"new_state": "success"}).status_code == 200
        with create_session(scoped=False) as session:
            stored = select(TaskStateStoreModel.task_id).where(TaskStateStoreModel.run_id == run.dag_run_id)
            assert list(session.scalars(stored)) == ["third"]


class TestMapIndexOfTheQuery:
    @pytest.mark.parametrize("map_index", [-1, 0, 1, 3, 7])
    @pytest.mark.parametrize("end", ["", "/dry_run"])
    def test_it_names_one_instance_as_in_airflow(self, alike, map_index, end):
        answer = alike(
            lambda client, run: ordered(
                client.patch(
                    at(run, "say") + end, params={"map_index": map_index}, json={"new_state": "skipped"}
                )
            ),
            dag_id="mapped",
            task_states=MAPPED,
        )
        assert answer.status_code == (200 if 0 <= map_index <= 3 else 404)
        if answer.is_success:
            assert [entry["map_index"] for entry in answer.json()["task_instances"]] == [map_index]


class TestPatchTaskInstanceByMapIndex:
    @pytest.mark.parametrize("state", ["success", "failed", "skipped"])
    @pytest.mark.parametrize("index", [0, 1, 2, 3])
    def test_one_instance_is_set(self, alike, state, index):
        answer = alike(
            lambda client, run: client.patch(
                at(run, "say", index), json={"new_state": state, "note": "One."}
            ),
            dag_id="mapped",
            state="running",
            task_states=MAPPED,
        )
        assert answer.status_code == (409 if MAPPED[f"say[{index}]"] == state else 200)

    def test_an_index_that_does_not_exist_is_not_found(self, parity, scenario):
        ours, _ = parity("PATCH", at(scenario.mapped_run, "say", 7), json={"new_state": "success"})
        of_type(ours, "task-instance-not-found")

    def test_minus_one_is_a_task_that_is_not_mapped(self, alike):
        answer = alike(
            lambda client, run: client.patch(at(run, "first", -1), json={"new_state": "skipped"}),
            state="running",
            task_states=STATES,
        )
        assert answer.json()["task_instances"][0]["state"] == "skipped"


class TestPatchTaskInstanceDryRun:
    @pytest.mark.parametrize("state", ["success", "failed", "skipped"])
    @pytest.mark.parametrize(
        "reach",
        [
            {},
            {"include_upstream": True},
            {"include_downstream": True},
            {
                "include_upstream": True,
                "include_downstream": True,
                "include_past": True,
                "include_future": True,
            },
        ],
        ids=str,
    )
    def test_it_tells_what_airflow_tells(self, alike, v2, state, reach):
        answer = alike(
            lambda client, run: ordered(
                client.patch(at(run, "second", "dry_run"), json={"new_state": state, **reach})
            ),
            state="failed",
            task_states=STATES,
        )
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        ("params", "body"),
        [
            ({}, {}),
            ({}, {"note": "After."}),
            ({"update_mask": "note"}, {"new_state": "success"}),
            ({"update_mask": "new_state"}, {"new_state": "success"}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("task_id", ["say", "numbers"])
    def test_without_a_state_it_tells_what_is_named(self, parity, scenario, params, body, task_id):
        path = at(scenario.mapped_run, task_id, "dry_run")
        ours, _ = parity("PATCH", path, params=params, json=body, normalise=in_order)
        assert ours.status_code == 200

    def test_it_changes_nothing_and_tells_what_would_be_set(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        before = remains(v2, run)
        body = {"new_state": "skipped", "include_downstream": True, "note": "x"}
        told = rest.patch(at(run, "second", "dry_run"), json=body).json()["task_instances"]
        assert remains(v2, run) == before
        rest.patch(at(run, "second"), json=body)
        states = _states(v2, run)
        assert {entry["task_id"] for entry in told} == {
            name for name, state in states.items() if state == "skipped"
        }


class TestPatchTaskInstanceDryRunByMapIndex:
    @pytest.mark.parametrize("state", ["success", "failed", "skipped"])
    @pytest.mark.parametrize("index", [0, 3])
    def test_it_tells_what_airflow_tells(self, parity, scenario, state, index):
        ours, _ = parity("PATCH", at(scenario.mapped_run, "say", index, "dry_run"), json={"new_state": state})
        assert ours.status_code == 200


class TestDeleteTaskInstance:
    @pytest.mark.parametrize("params", [{}, {"map_index": -1}, {"map_index": 0}], ids=str)
    @pytest.mark.parametrize("task_id", ["first", "alone", "none"])
    def test_it_deletes_what_airflow_deletes(self, alike, params, task_id):
        answer = alike(
            lambda client, run: client.delete(at(run, task_id), params=params),
            state="running",
            task_states=STATES,
        )
        exists = task_id != "none" and params.get("map_index", -1) == -1
        assert answer.status_code == (200 if exists else 404)

    def test_one_instance_of_a_mapped_task_is_deleted(self, alike):
        answer = alike(
            lambda client, run: client.delete(at(run, "say"), params={"map_index": 1}),
            dag_id="mapped",
            state="failed",
            task_states=MAPPED,
        )
        assert (answer.status_code, answer.json()) == (200, None)

    def test_the_second_time_there_is_no_such_task_instance(self, rest, new_run):
        run = new_run(state="failed", task_states=STATES)
        rest.patch(at(run, "first"), json={"note": "Goes with it."})
        assert rest.delete(at(run, "first")).status_code == 200
        answer = rest.delete(at(run, "first"))
        assert answer.status_code == 404
        of_type(answer, "task-instance-not-found")

    @pytest.mark.parametrize(
        "path",
        ["/dags/no_such_dag/dagRuns/a/taskInstances/first", "/dags/manual/dagRuns/none/taskInstances/first"],
    )
    def test_what_does_not_exist_is_not_found(self, parity, path):
        ours, _ = parity("DELETE", path)
        of_type(ours, "task-instance-not-found")

    @pytest.mark.parametrize("index", ["x", "1.5"])
    def test_what_means_nothing_is_refused(self, parity, scenario, index):
        ours, _ = parity("DELETE", at(scenario.example, "runme_0"), params={"map_index": index})
        of_type(ours, "malformed")

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 404), ("op", 404)]
    )
    def test_who_may_delete(self, parity, role, status):
        ours, _ = parity("DELETE", "/dags/manual/dagRuns/none/taskInstances/first", role=role)
        assert ours.status_code == status


def _states(v2, run):
    entries = v2.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {entry["task_id"]: entry["state"] for entry in entries}


def _store(run, task_id):
    from airflow._shared.state import TaskScope
    from airflow.state.metastore import MetastoreBackend
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        scope = TaskScope(dag_id=run.dag_id, run_id=run.dag_run_id, task_id=task_id, map_index=-1)
        MetastoreBackend().set(scope, "key", '"value"', session=session)
