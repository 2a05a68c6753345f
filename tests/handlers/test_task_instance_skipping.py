"""Skipping task instances: `openapi/paths/task_instance_changes.yaml`."""

from __future__ import annotations

import pytest

from tests.support.dag_runs import STATES, of_type
from tests.support.task_instances import at
from tests.support.twins import remains

MAPPED = {
    "numbers": "success",
    "double": "upstream_failed",
    "total": "upstream_failed",
    "say[0]": "failed",
    "say[1]": "running",
    "say[2]": "success",
    "say[3]": "deferred",
}
UNFINISHED = [
    "scheduled",
    "queued",
    "running",
    "restarting",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
    None,
]


def states(rest, run):
    """The states of a run's task instances by name, and of mapped ones by name and index."""
    entries = rest.get(at(run)).json()["task_instances"]
    return {
        entry["task_id"] + (f"[{entry['map_index']}]" if entry["map_index"] >= 0 else ""): entry["state"]
        for entry in entries
    }


class TestSkipTaskInstance:
    def test_a_failed_task_is_skipped_and_what_failed_with_it_is_looked_at_anew(self, rest, new_run):
        run = new_run(state="failed", task_states=STATES)
        answer = rest.post(at(run, "second", "skip"))
        assert answer.status_code == 200
        body = answer.json()
        (skipped,) = body.pop("task_instances")
        assert (skipped["task_id"], skipped["state"], skipped["dag_run_id"]) == (
            "second",
            "skipped",
            run.dag_run_id,
        )
        assert body == {
            "total_entries": 1,
            "left_alone": [],
            "cleared": [{"task_id": "third", "map_index": -1}],
            "dag_run_state": "queued",
        }
        assert states(rest, run) == {
            "first": "success",
            "second": "skipped",
            "third": None,
            "alone": "running",
        }
        assert rest.get(run.path).json()["state"] == "queued"

    def test_with_all_that_is_downstream_what_succeeded_is_left_alone(self, rest, new_run):
        run = new_run(state="failed", task_states={**STATES, "second": "success", "third": "failed"})
        body = rest.post(at(run, "first", "skip"), params={"downstream": True}).json()
        assert [entry["task_id"] for entry in body["task_instances"]] == ["third"]
        assert body["left_alone"] == [
            {"task_id": "first", "map_index": -1, "state": "success", "reason": "state"},
            {"task_id": "second", "map_index": -1, "state": "success", "reason": "state"},
        ]
        assert body["cleared"] == []
        assert states(rest, run)["alone"] == "running"

    def test_what_succeeded_is_skipped_on_demand(self, rest, new_run):
        run = new_run(state="success", task_states=dict.fromkeys(STATES, "success"))
        params = {"downstream": True, "states": ["success", "none"]}
        body = rest.post(at(run, "second", "skip"), params=params).json()
        assert [entry["task_id"] for entry in body["task_instances"]] == ["second", "third"]
        assert body["dag_run_state"] == rest.get(run.path).json()["state"] == "queued"

    @pytest.mark.parametrize("state", UNFINISHED)
    def test_what_has_not_ended_is_skipped_and_its_run_goes_on(self, rest, new_run, state):
        run = new_run(state="running", task_states={"first": state})
        body = rest.post(at(run, "first", "skip")).json()
        assert body["task_instances"][0]["state"] == "skipped"
        assert body["task_instances"][0]["end_date"] is not None
        assert body["dag_run_state"] == rest.get(run.path).json()["state"] == "running"

    @pytest.mark.parametrize("state", ["success", "skipped", "removed"])
    @pytest.mark.parametrize("run_state", ["running", "success"])
    def test_nothing_to_skip_is_a_conflict_and_changes_nothing(self, rest, v2, new_run, state, run_state):
        run = new_run(state=run_state, task_states={"first": state})
        before = remains(v2, run)
        answer = rest.post(at(run, "first", "skip"))
        assert answer.status_code == 409
        of_type(answer, "nothing-to-skip")
        assert f"'{state}'" in answer.json()["detail"]
        assert remains(v2, run) == before

    def test_only_the_states_that_are_asked_for_are_skipped(self, rest, new_run):
        run = new_run("mapped", state="failed", task_states=MAPPED)
        body = rest.post(at(run, "say", "skip"), params={"states": ["failed", "deferred"]}).json()
        assert [entry["map_index"] for entry in body["task_instances"]] == [0, 3]
        assert [(entry["map_index"], entry["state"]) for entry in body["left_alone"]] == [
            (1, "running"),
            (2, "success"),
        ]

    def test_all_instances_of_a_mapped_task_are_skipped(self, rest, new_run):
        run = new_run("mapped", state="running", task_states=MAPPED)
        body = rest.post(at(run, "say", "skip")).json()
        assert [entry["map_index"] for entry in body["task_instances"]] == [0, 1, 3]
        assert [entry["map_index"] for entry in body["left_alone"]] == [2]

    def test_one_instance_of_a_mapped_task_is_skipped(self, rest, new_run):
        run = new_run("mapped", state="running", task_states=MAPPED)
        body = rest.post(at(run, "say", "skip"), params={"map_index": 1}).json()
        assert [entry["map_index"] for entry in body["task_instances"]] == [1]
        after = states(rest, run)
        assert (after["say[0]"], after["say[1]"], after["say[3]"]) == ("failed", "skipped", "deferred")

    def test_a_mapped_task_that_is_not_expanded_yet_is_skipped_with_what_follows(self, rest, new_run):
        run = new_run("mapped", state="failed", task_states=MAPPED)
        body = rest.post(at(run, "double", "skip"), params={"downstream": True}).json()
        assert [(e["task_id"], e["map_index"]) for e in body["task_instances"]] == [
            ("double", -1),
            ("total", -1),
        ]

    def test_a_teardown_downstream_is_left_to_tear_down(self, rest, new_run):
        run = new_run("torn_down", state="running", task_states={"build": "failed", "use": "upstream_failed"})
        body = rest.post(at(run, "build", "skip"), params={"downstream": True}).json()
        assert [entry["task_id"] for entry in body["task_instances"]] == ["build", "use"]
        assert body["left_alone"] == [
            {"task_id": "clean", "map_index": -1, "state": None, "reason": "teardown"}
        ]
        assert rest.post(at(run, "clean", "skip")).json()["task_instances"][0]["task_id"] == "clean"

    def test_a_setup_comes_before_and_is_not_touched(self, rest, new_run):
        run = new_run("torn_down", state="failed", task_states={"build": "failed", "use": "upstream_failed"})
        body = rest.post(at(run, "use", "skip"), params={"downstream": True}).json()
        assert [entry["task_id"] for entry in body["task_instances"]] == ["use"]
        assert [entry["task_id"] for entry in body["left_alone"]] == ["clean"]
        assert states(rest, run)["build"] == "failed"

    def test_an_independent_failure_is_not_touched(self, rest, new_run):
        run = new_run(state="failed", task_states={**STATES, "alone": "failed"})
        body = rest.post(at(run, "second", "skip"), params={"downstream": True}).json()
        assert [entry["task_id"] for entry in body["task_instances"]] == ["second", "third"]
        assert states(rest, run)["alone"] == "failed"

    def test_a_dry_run_answers_the_same_with_what_there_is_and_changes_nothing(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        before = remains(v2, run)
        params = {"downstream": True}
        told = rest.post(at(run, "first", "skip"), params={**params, "dry_run": True}).json()
        assert remains(v2, run) == before
        assert told.pop("preview") == {
            "task_instances": [
                {"task_id": "second", "map_index": -1, "state": "failed"},
                {"task_id": "third", "map_index": -1, "state": "upstream_failed"},
            ]
        }
        done = rest.post(at(run, "first", "skip"), params=params).json()
        for answer in (told, done):
            for entry in answer["task_instances"]:
                for name in ("start_date", "end_date", "duration"):
                    entry.pop(name)
        assert told == done

    def test_the_second_time_there_is_nothing_to_skip_but_for_a_key(self, rest, new_run):
        run = new_run(state="failed", task_states=STATES)
        headers = {"Idempotency-Key": f"skip-{run.dag_run_id}"}
        first, second = (rest.post(at(run, "second", "skip"), headers=headers) for _ in range(2))
        assert (first.json(), second.status_code) == (second.json(), 200)
        assert rest.post(at(run, "second", "skip")).status_code == 409

    @pytest.mark.in_process
    def test_listeners_are_told_but_not_of_a_dry_run(self, rest, new_run, heard):
        run = new_run(state="failed", task_states=STATES)
        rest.post(at(run, "second", "skip"), params={"downstream": True, "dry_run": True})
        assert heard == []
        rest.post(at(run, "second", "skip"), params={"downstream": True})
        assert heard == [("task skipped", "second"), ("task skipped", "third")]

    @pytest.mark.parametrize(
        ("path", "params", "name"),
        [
            ("/dags/no_such_dag/dagRuns/a/taskInstances/first/skip", {}, "dag-run-not-found"),
            ("/dags/manual/dagRuns/none/taskInstances/first/skip", {}, "dag-run-not-found"),
            ("/dags/{0}/dagRuns/{1}/taskInstances/none/skip", {}, "task-instance-not-found"),
            ("/dags/{0}/dagRuns/{1}/taskInstances/first/skip", {"map_index": 0}, "task-instance-not-found"),
        ],
    )
    def test_what_does_not_exist_is_not_found(self, rest, new_run, path, params, name):
        run = new_run(task_states=STATES)
        answer = rest.post(path.format(run.dag_id, run.dag_run_id), params=params)
        assert answer.status_code == 404
        of_type(answer, name)

    def test_a_task_that_the_dag_has_lost_is_skipped_but_has_nothing_downstream(
        self, rest, scenario, restored_database
    ):
        path = at(scenario.old_version, "old_task", "skip")
        of_type(rest.post(path, params={"states": "success", "downstream": True}), "task-not-found")
        assert rest.post(path, params={"states": "success"}).status_code == 200

    @pytest.mark.parametrize(
        "params",
        [
            {"states": "skipped"},
            {"states": "x"},
            {"map_index": "x"},
            {"map_index": -2},
            {"downstream": "x"},
            {"down": 1},
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, scenario, params):
        answer = rest.post(at(scenario.failed, "check", "skip"), params=params)
        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 404), ("op", 404)]
    )
    def test_who_may_skip(self, rest, role, status):
        answer = rest.post("/dags/manual/dagRuns/none/taskInstances/first/skip", role=role)
        assert answer.status_code == status
