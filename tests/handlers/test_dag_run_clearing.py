"""Clearing one run, and several: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tests.support.dag_runs import STATES, anonymous, of_type
from tests.support.twins import remains


class TestClearDagRun:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"dry_run": True},
            {"only_failed": True},
            {"only_new": True},
            {"only_new": False, "only_failed": False, "run_on_latest_version": None, "note": None},
            {"dry_run": False},
            {"dry_run": False, "only_failed": True},
            {"dry_run": False, "only_new": True},
            {"dry_run": False, "note": "Again."},
            {"dry_run": False, "note": ""},
            {"dry_run": False, "run_on_latest_version": True},
            {"dry_run": False, "run_on_latest_version": False},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("state", ["success", "failed", "running", "queued"])
    def test_it_clears_what_airflow_clears(self, alike, body, state):
        answer = alike(
            lambda client, run: client.post(f"{run.path}/clear", json=body),
            state=state,
            task_states=STATES,
            note="Before.",
        )
        assert answer.status_code == 200

    @pytest.mark.parametrize("body", [{}, {"only_failed": True}, {"dry_run": False}], ids=str)
    @pytest.mark.parametrize("name", ["failed", "mapped_run", "old_version"])
    def test_prepared_runs_are_cleared_the_same(
        self, v2, rest, parity, scenario, restored_database, name, body
    ):
        run = getattr(scenario, name)
        theirs = v2.post(f"{run.path}/clear", json=body)
        if body.get("dry_run") is not False:
            ours, _ = parity("POST", f"{run.path}/clear", json=body)
            assert ours.json()["total_entries"] > 0 or body
        assert rest.post(f"{run.path}/clear", json=body).status_code == theirs.status_code == 200

    def test_only_new_tells_and_adds_the_tasks_that_the_dag_got_since(
        self, parity, rest, v2, scenario, restored_database
    ):
        path = f"{scenario.old_version.path}/clear"
        ours, _ = parity("POST", path, json={"only_new": True})
        assert ours.json() == {
            "task_instances": [{"task_id": "new_task", "task_display_name": "new_task"}],
            "total_entries": 1,
        }
        answer = rest.post(path, json={"only_new": True, "dry_run": False})
        assert answer.json()["state"] == "queued"
        instances = v2.get(f"{scenario.old_version.path}/taskInstances").json()["task_instances"]
        assert {entry["task_id"]: entry["state"] for entry in instances}["new_task"] is None

    def test_a_dry_run_changes_nothing(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        before = remains(v2, run)
        answer = rest.post(f"{run.path}/clear", json={"note": "Again."})
        assert {entry["task_id"] for entry in answer.json()["task_instances"]} == set(STATES)
        assert remains(v2, run) == before

    def test_the_dag_says_whether_to_go_on_with_the_latest_version(self, alike):
        answer = alike(
            lambda client, run: client.post(f"{run.path}/clear", json={"dry_run": False}),
            dag_id="partitioned",
            state="success",
            task_states={"load": "success"},
        )
        assert answer.json()["state"] == "queued"

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"only_new": True, "only_failed": True}, "options-exclusive"),
            ({"dry_run": "perhaps"}, "malformed"),
            ({"note": "x" * 1001}, "malformed"),
            ({"colour": "blue"}, "malformed"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_what_means_nothing_is_refused(self, parity, scenario, body, name):
        ours, _ = parity("POST", f"{scenario.example.path}/clear", json=body)
        of_type(ours, name)

    @pytest.mark.parametrize("body", [{}, {"dry_run": False}], ids=str)
    def test_a_run_that_does_not_exist_is_not_found(self, parity, body):
        ours, _ = parity("POST", "/dags/manual/dagRuns/none/clear", json=body)
        of_type(ours, "dag-run-not-found")

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200)]
    )
    def test_who_may_clear(self, parity, scenario, role, status):
        ours, _ = parity("POST", f"{scenario.example.path}/clear", json={}, role=role)
        assert ours.status_code == status


class TestClearDagRuns:
    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("path", ["manual", "~"])
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"only_failed": True},
            {"dry_run": False, "note": "Again."},
            {"dry_run": False, "only_new": True},
        ],
        ids=str,
    )
    def test_named_runs_are_cleared_as_by_airflow(self, alike, path, body, named):
        def call(client, run):
            names = {"dag_run_id": run.dag_run_id} | ({"dag_id": run.dag_id} if named else {})
            return client.post(f"/dags/{path}/clearDagRuns", json={**body, "dag_runs": [names, names]})

        answer = alike(call, state="failed", task_states=STATES)
        assert answer.status_code == (400 if path == "~" and not named else 200)

    def test_several_runs_of_several_dags_are_answered_in_their_order(self, rest, new_run):
        runs = [new_run(state="failed"), new_run("mapped", state="failed"), new_run(state="success")]
        names = [{"dag_id": run.dag_id, "dag_run_id": run.dag_run_id} for run in runs]
        answer = rest.post("/dags/~/clearDagRuns", json={"dry_run": False, "dag_runs": names}).json()
        assert [run["dag_run_id"] for run in answer["dag_runs"]] == [run.dag_run_id for run in runs]
        assert answer["total_entries"] == 3
        assert {run["state"] for run in answer["dag_runs"]} == {"queued"}

    @pytest.mark.parametrize(
        "selection",
        [
            {"partition_key": "2026-06-02"},
            {"partition_key": ""},
            {"partition_date_start": "2026-06-02T00:00:00Z"},
            {
                "partition_date_start": "2026-06-02T00:00:00+05:00",
                "partition_date_end": "2026-06-02T00:00:00-09:00",
            },
            {"partition_date_end": "2026-06-01T00:00:00Z"},
        ],
        ids=str,
    )
    def test_partitions_are_selected_as_by_airflow(self, parity, new_run, restored_database, selection):
        for number in (1, 2, 3):
            begin = datetime(2026, 5, 31 if number == 1 else number - 1, 22, tzinfo=timezone.utc)
            new_run(
                "partitioned",
                state="failed",
                partition_key=f"2026-06-0{number}",
                partition_date=begin if number == 1 else begin.replace(month=6),
                task_states={"load": "failed"},
            )
        ours, _ = parity("POST", "/dags/partitioned/clearDagRuns", json=selection)
        assert set(ours.json()) == {"task_instances", "total_entries"}
        cleared, _ = parity(
            "POST",
            "/dags/partitioned/clearDagRuns",
            json={**selection, "dry_run": False},
            normalise=anonymous,
        )
        assert cleared.json()["total_entries"] == ours.json()["total_entries"]

    @pytest.mark.parametrize(
        ("dag_id", "body", "name"),
        [
            ("manual", {}, "selection-ambiguous"),
            ("manual", {"dag_runs": []}, "selection-ambiguous"),
            ("manual", {"dag_runs": [{"dag_run_id": "a"}], "partition_key": "k"}, "selection-ambiguous"),
            (
                "manual",
                {"partition_key": "k", "partition_date_end": "2026-01-01T00:00:00Z"},
                "selection-ambiguous",
            ),
            (
                "partitioned",
                {
                    "partition_date_start": "2026-01-02T00:00:00Z",
                    "partition_date_end": "2026-01-01T00:00:00Z",
                },
                "selection-ambiguous",
            ),
            ("~", {"partition_key": "k"}, "dag-id-unclear"),
            ("~", {"dag_runs": [{"dag_run_id": "a"}]}, "dag-id-unclear"),
            ("~", {"dag_runs": [{"dag_run_id": "a", "dag_id": "~"}]}, "dag-id-unclear"),
            ("manual", {"dag_runs": [{"dag_run_id": "a", "dag_id": "etl"}]}, "dag-id-unclear"),
            (
                "manual",
                {"dag_runs": [{"dag_run_id": "a"}], "only_new": True, "only_failed": True},
                "options-exclusive",
            ),
            ("manual", {"dag_runs": [{"dag_run_id": "a"}]}, "dag-run-not-found"),
            ("manual", {"dag_runs": [{"dag_run_id": "a"}], "dry_run": False}, "dag-run-not-found"),
            ("no_such_dag", {"partition_key": "k"}, "dag-not-found"),
            ("manual", {"dag_runs": [{}]}, "malformed"),
            ("manual", {"dag_runs": ["a"]}, "malformed"),
            ("manual", {"dag_runs": [{"dag_run_id": "a", "state": "running"}]}, "malformed"),
        ],
        ids=str,
    )
    def test_what_airflow_refuses_is_refused(self, parity, dag_id, body, name):
        ours, _ = parity("POST", f"/dags/{dag_id}/clearDagRuns", json=body)
        of_type(ours, name)

    def test_a_missing_run_stops_the_whole(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        before = remains(v2, run)
        names = [{"dag_run_id": run.dag_run_id}, {"dag_run_id": "none"}]
        answer = rest.post("/dags/manual/clearDagRuns", json={"dry_run": False, "dag_runs": names})
        assert answer.status_code == 404
        assert remains(v2, run) == before

    @pytest.mark.parametrize(
        "body", [{"dag_runs": [{"dag_run_id": "none"}]}, {"partition_key": "k"}], ids=("named", "partition")
    )
    @pytest.mark.parametrize(
        ("role", "allowed"), [(None, False), ("nobody", False), ("viewer", False), ("user", True)]
    )
    def test_who_may_clear(self, parity, role, allowed, body):
        ours, _ = parity("POST", "/dags/manual/clearDagRuns", json=body, role=role)
        assert (ours.status_code in (200, 404)) == allowed

    def test_a_dag_that_only_the_body_names_is_asked_for_too(self, parity):
        body = {"dag_runs": [{"dag_run_id": "none", "dag_id": "etl"}]}
        ours, _ = parity("POST", "/dags/~/clearDagRuns", json=body, role="viewer")
        assert ours.status_code == 403
