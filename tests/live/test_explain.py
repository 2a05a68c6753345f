"""Explanations on a real scheduler: each cause is told while it holds, and no more when it does not."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.timeout(240)


def explained(live, dag_id, run_id):
    return live.run(dag_id, run_id, explain=True)["explanation"]


def codes(live, dag_id, run_id, task_id):
    """The codes of the causes of one task; None when it does not wait."""
    for entry in explained(live, dag_id, run_id)["task_instances"]:
        if entry["task_id"] == task_id:
            return [cause["code"] for cause in entry["causes"]]
    return None


def until(live, dag_id, run_id, task_id, expected, seconds=40):
    deadline = time.monotonic() + seconds
    while (found := codes(live, dag_id, run_id, task_id)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


@pytest.fixture
def ended(live):
    """Ends the runs that it is given, whose tasks sleep for minutes."""
    runs = []
    yield lambda dag_id, run_id: runs.append((dag_id, run_id)) or run_id
    for dag_id, run_id in runs:
        live.rest.patch(f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})


def test_all_that_holds_the_tasks_of_one_run(live, ended):
    run_id = ended("held", live.trigger("held"))
    live.until_task("held", run_id, "slow", "running")
    live.until_task("held", run_id, "fails", "failed")

    until(live, "held", run_id, "after", ["trigger_rule_unmet"])
    entries = {entry["task_id"]: entry for entry in explained(live, "held", run_id)["task_instances"]}
    upstream = entries["needs_one"]["causes"][0]["facts"]["upstream"]
    assert {one["task_id"]: one["state"] for one in upstream} == {"fails": "failed", "slow": "running"}
    until(live, "held", run_id, "deferred", ["waits_for_trigger"])
    until(live, "held", run_id, "tried", ["in_retry_period"])
    assert "slow" not in entries

    until(live, "held", run_id, "pooled", ["pool_does_not_exist"])
    made = live.v2.post("/pools", json={"name": "explained", "slots": 0})
    assert made.status_code == 201, made.text
    try:
        until(live, "held", run_id, "pooled", ["pool_has_no_slots"])
        changed = live.v2.patch(
            "/pools/explained", json={"pool": "explained", "slots": 1, "include_deferred": False}
        )
        assert changed.status_code == 200, changed.text
        live.until_task("held", run_id, "pooled", "success")
        assert codes(live, "held", run_id, "pooled") is None
    finally:
        live.v2.delete("/pools/explained")

    second = ended("held", live.trigger("held"))
    assert "max_active_runs_reached" in [cause["code"] for cause in explained(live, "held", second)["causes"]]
    assert codes(live, "held", second, "slow") == ["max_active_runs_reached"]


def test_limits_of_active_tasks(live, ended):
    run_id = ended("narrow", live.trigger("narrow"))
    live.until_task("narrow", run_id, "first", "running")
    until(live, "narrow", run_id, "second", ["max_active_tasks_reached"])


def test_a_full_pool_names_the_dag_that_is_in_it(live, ended):
    made = live.v2.post("/pools", json={"name": "crowded", "slots": 1})
    assert made.status_code == 201, made.text
    run_id = ended("crowd", live.trigger("crowd"))
    live.until_task("crowd", run_id, "first", "running")
    until(live, "crowd", run_id, "second", ["pool_is_full"])
    (entry,) = explained(live, "crowd", run_id)["task_instances"]
    assert entry["causes"][0]["facts"] == {
        "pool": "crowded",
        "needed": 1,
        "slots": 1,
        "occupied": 1,
        "occupied_by": [{"dag_id": "crowd", "slots": 1}],
    }
    live.v2.delete("/pools/crowded")


def test_a_paused_dag_is_told_and_no_more_when_it_is_unpaused(live):
    live.rest.patch("/dags/basic", json={"is_paused": True})
    try:
        run_id = live.trigger("basic")
        told = explained(live, "basic", run_id)
        assert [cause["code"] for cause in told["causes"]] == ["dag_is_paused"]
        assert codes(live, "basic", run_id, "first") == ["dag_is_paused"]
        preview = live.rest.post(
            "/dags/basic/dagRuns", params={"dry_run": True}, json={"logical_date": None}
        ).json()["preview"]
        assert preview["held_back_by"] == ["dag_is_paused"]
    finally:
        live.rest.patch("/dags/basic", json={"is_paused": False})
    live.until("basic", run_id, "success")
    nothing = {"causes": [], "task_instances": [], "total_entries": 0, "left_out": 0}
    assert explained(live, "basic", run_id) == nothing


def test_a_time_that_lies_ahead_is_told_with_its_end(live, ended):
    run_id = ended("basic", live.trigger("basic", run_after="2040-01-01T00:00:00Z"))
    (cause,) = explained(live, "basic", run_id)["causes"]
    assert (cause["code"], cause["until"]) == ("run_after_lies_ahead", "2040-01-01T00:00:00Z")
