"""Clearing task instances: `openapi/paths/task_instance_changes.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import json

import pytest

from tests.handlers.test_task_instance_changes import in_order, ordered
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


def clear(run, /, **body):
    """The path and the body of a call that clears tasks of a run."""
    return f"/dags/{run.dag_id}/clearTaskInstances", {"dag_run_id": run.dag_run_id, **body}


class TestPostClearTaskInstances:
    @pytest.fixture
    def cleared_alike(self, alike):
        """`cleared_alike(**body)`: clear tasks of twins with the same body."""

        def compare(body, **made):
            def call(client, run):
                path, whole = clear(run, **body)
                return ordered(client.post(path, json=whole))

            return alike(call, **{"task_states": STATES, **made})

        return compare

    @pytest.mark.slow
    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"only_failed": False},
            {"only_running": True},
            {"only_failed": False, "only_running": True},
            {"task_ids": ["second"]},
            {"task_ids": ["first"], "only_failed": False, "include_downstream": True},
            {"task_ids": ["third"], "only_failed": False, "include_upstream": True},
            {
                "task_ids": ["second"],
                "only_failed": False,
                "include_upstream": True,
                "include_downstream": True,
            },
            {"task_ids": [["second", -1], "alone"], "only_failed": False},
            {"task_ids": [["first", -1]], "only_failed": False, "include_downstream": True},
            {"task_ids": ["none"]},
            {"task_ids": [["none", 3]]},
            {"task_ids": ["none"], "include_downstream": True},
            {"only_failed": False, "reset_dag_runs": False},
            {"only_failed": False, "run_on_latest_version": True, "prevent_running_task": False},
            {
                "task_ids": None,
                "note": None,
                "start_date": None,
                "end_date": None,
                "run_on_latest_version": None,
            },
        ],
        ids=str,
    )
    @pytest.mark.parametrize("state", ["success", "failed", "running"])
    def test_it_clears_what_airflow_clears(self, cleared_alike, body, dry_run, state):
        answer = cleared_alike({**body, "dry_run": dry_run}, state=state)
        assert answer.status_code == 200

    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"task_ids": ["say"], "only_failed": False},
            {"task_ids": [["say", 1], ["say", 2]], "only_failed": False},
            {"task_ids": ["say", ["say", 2]], "only_failed": False},
            {
                "task_ids": [["say", 0]],
                "only_failed": False,
                "include_downstream": True,
                "include_upstream": True,
            },
            {"task_ids": ["numbers"], "only_failed": False, "include_downstream": True},
        ],
        ids=str,
    )
    def test_mapped_tasks_are_cleared_as_by_airflow(self, cleared_alike, body, dry_run):
        answer = cleared_alike(
            {**body, "dry_run": dry_run}, dag_id="mapped", state="failed", task_states=MAPPED
        )
        assert answer.json()["total_entries"] > 0

    @pytest.mark.parametrize(
        ("before", "note"),
        [(None, None), (None, ""), (None, "After."), ("Before.", None), ("Before.", "After.")],
    )
    @pytest.mark.parametrize("dry_run", [True, False])
    def test_notes_are_kept_or_replaced_as_by_airflow(self, alike, before, note, dry_run):
        told = {}

        def call(client, run):
            if before:
                client.patch(at(run, "second"), json={"note": before})
            path, body = clear(run, dry_run=dry_run, note=note)
            answer = ordered(client.post(path, json=body))
            content = answer.json()
            told[client] = [entry.pop("note") for entry in content["task_instances"]]
            answer._content = json.dumps(content).encode()
            return answer

        # Airflow writes the note and may answer the one from before; what is stored is compared.
        assert alike(call, state="failed", task_states=STATES).status_code == 200
        _, ours = told.values()
        assert ours == ([before, None] if dry_run or note is None else [note or None] * 2)

    def test_an_empty_note_removes_the_note(self, rest, new_run):
        # Airflow keeps it, because it reads the task instance anew before it has written that.
        run = new_run(state="failed", task_states=STATES)
        rest.patch(at(run, "second"), json={"note": "Before."})
        path, body = clear(run, dry_run=False, note="")
        assert rest.post(path, json=body).status_code == 200
        assert rest.get(at(run, "second")).json()["note"] is None

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"start_date": "2026-01-05T00:00:00Z"},
            {"end_date": "2026-01-06T01:30:00+00:00"},
            {"start_date": "2026-01-06T00:30:00-01:00", "end_date": "2026-01-06T01:30:00Z"},
            {"only_failed": False, "task_ids": ["check"]},
            {"only_failed": False, "task_ids": ["check"], "include_upstream": True},
            {
                "only_failed": False,
                "task_ids": ["check"],
                "include_downstream": True,
                "include_upstream": True,
            },
            {"only_failed": False, "task_ids": [["check", -1]], "include_downstream": True},
            {
                "dag_run_id": "scheduled__2026-01-06T01:30:00+00:00",
                "include_past": True,
                "only_failed": False,
            },
            {
                "dag_run_id": "scheduled__2026-01-06T01:30:00+00:00",
                "include_future": True,
                "only_failed": False,
            },
            {
                "dag_run_id": "scheduled__2026-01-06T01:30:00+00:00",
                "include_future": True,
                "include_past": True,
                "only_failed": False,
                "task_ids": ["check"],
            },
            {"include_past": True, "start_date": "2026-01-05T00:00:00Z", "only_failed": False},
        ],
        ids=str,
    )
    def test_many_runs_are_cleared_as_by_airflow(self, parity, v2, rest, restored_database, body):
        told, _ = parity("POST", "/dags/etl/clearTaskInstances", json=body, normalise=in_order)
        done = rest.post("/dags/etl/clearTaskInstances", json={**body, "dry_run": False}).json()
        assert _names(done) == _names(told.json())
        assert done["total_entries"] == len(done["task_instances"])
        assert {entry["state"] for entry in done["task_instances"]} <= {None, "restarting"}

    def test_dates_are_compared_as_instants(self, rest):
        # Airflow compares the texts, and takes this for an end before the start.
        body = {"start_date": "2026-01-06T02:30:00+01:00", "end_date": "2026-01-06T01:30:00Z"}
        answer = rest.post("/dags/etl/clearTaskInstances", json=body)
        assert answer.json()["total_entries"] == 2

    def test_a_dry_run_is_the_default_and_changes_nothing(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        before = remains(v2, run)
        path, body = clear(run, note="Again.", only_failed=False)
        answer = rest.post(path, json=body).json()
        assert _names(answer) == {(run.dag_run_id, name, -1) for name in STATES}
        assert remains(v2, run) == before
        assert _names(rest.post(path, json={**body, "dry_run": False}).json()) == _names(answer)

    def test_an_absent_body_clears_nothing(self, rest, v2):
        assert rest.post("/dags/manual/clearTaskInstances").status_code == 400
        assert v2.post("/dags/manual/clearTaskInstances").status_code == 422

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_a_task_that_runs_can_be_kept_running(self, cleared_alike, dry_run):
        body = {"only_failed": False, "prevent_running_task": True, "dry_run": dry_run}
        answer = cleared_alike(body, state="failed")
        assert answer.status_code == (200 if dry_run else 409)
        if not dry_run:
            of_type(answer, "task-is-running")

    def test_the_dag_says_whether_to_go_on_with_the_latest_version(self, cleared_alike):
        answer = cleared_alike(
            {"dry_run": False, "only_failed": False},
            dag_id="partitioned",
            state="success",
            task_states={"load": "success"},
        )
        assert answer.json()["total_entries"] == 1

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"only_failed": True, "only_running": True}, "options-exclusive"),
            (
                {"start_date": "2026-01-02T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"},
                "options-exclusive",
            ),
            ({"dag_run_id": "a", "start_date": "2026-01-02T00:00:00Z"}, "options-exclusive"),
            ({"dag_run_id": "a", "end_date": "2026-01-02T00:00:00Z"}, "options-exclusive"),
            ({"task_ids": []}, "malformed"),
            ({"task_ids": [1]}, "malformed"),
            ({"task_ids": [["first"]]}, "malformed"),
            ({"task_ids": [["first", 1, 2]]}, "malformed"),
            ({"task_ids": [["first", "second"]]}, "task-name-unclear"),
            ({"task_ids": [[1, "first"]]}, "task-name-unclear"),
            ({"start_date": "2026-01-02T00:00:00"}, "malformed"),
            ({"dry_run": "perhaps"}, "malformed"),
            ({"note": "x" * 1001}, "malformed"),
            ({"colour": "blue"}, "malformed"),
            ({"dag_run_id": "none"}, "dag-run-not-found"),
            ({"dag_run_id": "none", "dry_run": False}, "dag-run-not-found"),
            ({"dag_run_id": "manual__no-logical-date", "include_past": True}, "run-has-no-logical-date"),
            ({"dag_run_id": "manual__no-logical-date", "include_future": True}, "run-has-no-logical-date"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_airflow_refuses_is_refused(self, parity, body, name):
        ours, _ = parity("POST", "/dags/etl/clearTaskInstances", json=body)
        of_type(ours, name)

    def test_a_dag_that_does_not_exist_is_not_found(self, parity):
        ours, _ = parity("POST", "/dags/no_such_dag/clearTaskInstances", json={})
        of_type(ours, "dag-not-found")

    def test_relatives_of_a_task_that_does_not_exist_are_not_found(self, rest, scenario):
        # Airflow answers 500.
        path, body = clear(scenario.example, task_ids=[["none", 0]], include_downstream=True)
        of_type(rest.post(path, json=body), "task-not-found")

    def test_one_of_a_group_whose_number_is_unknown_is_cleared_with_all_that_follows(self, rest, new_run):
        # Airflow answers 500 where the task that decides on the number has been cleared.
        run = new_run("mapped", state="failed", task_states={"numbers": "success", "double": "failed"})
        path, body = clear(run, task_ids=[["double", 1]], include_downstream=True, only_failed=False)
        answer = rest.post(path, json=body)
        assert answer.status_code == 200
        assert ("total", -1) in {
            (entry["task_id"], entry["map_index"]) for entry in answer.json()["task_instances"]
        }

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200), ("op", 200)]
    )
    def test_who_may_clear(self, parity, scenario, role, status):
        path, body = clear(scenario.example)
        ours, _ = parity("POST", path, json=body, role=role)
        assert ours.status_code == status

    def test_a_key_makes_it_happen_once(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        path, body = clear(run, dry_run=False)
        headers = {"Idempotency-Key": f"clear-{run.dag_run_id}"}
        first, second = (rest.post(path, json=body, headers=headers) for _ in range(2))
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert len(v2.get(at(run, "second", "tries")).json()["task_instances"]) == 2


def _names(answer):
    return {(e["dag_run_id"], e["task_id"], e["map_index"]) for e in answer["task_instances"]}
