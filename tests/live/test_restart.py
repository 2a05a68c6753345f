"""Restarting on an Airflow that runs tasks: exactly what failed runs again."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(240)

DAG = "restarts"
FAILED = {"left", "after_left", "right", "after_right", "work[1]", "total"}
REST = {"good", "after_good", "numbers", "work[0]", "work[2]"}


def path(run_id: str, action: str = "") -> str:
    return f"/dags/{DAG}/dagRuns/{run_id}{action}"


def test_exactly_what_failed_runs_again(live):
    run_id = live.trigger(DAG)
    assert live.until(DAG, run_id)["state"] == "failed"
    states, before = live.states(DAG, run_id), {entry["id"] for entry in live.instances(DAG, run_id)}
    assert {name for name, state in states.items() if state in ("failed", "upstream_failed")} == FAILED

    tried = live.rest.post(path(run_id, "/restartFailed"), params={"dry_run": True}).json()
    assert live.states(DAG, run_id) == states
    answer = live.rest.post(path(run_id, "/restartFailed"))

    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["state"], told["failed_task_count"], told["clear_task_count"]) == ("queued", 6, 6)
    assert told == {name: value for name, value in tried.items() if name != "preview"}
    assert live.until(DAG, run_id)["state"] == "success"
    assert set(live.states(DAG, run_id).values()) == {"success"}
    # What was upstream_failed had not been tried.
    tries = live.tries(DAG, run_id)
    assert {name for name, number in tries.items() if number == 2} == {"left", "right", "work[1]"}
    kept = {
        entry["task_id"] + (f"[{entry['map_index']}]" if entry["map_index"] >= 0 else "")
        for entry in live.instances(DAG, run_id)
        if entry["id"] in before
    }
    assert kept == REST
    assert live.rest.post(path(run_id, "/restartFailed")).status_code == 409


def test_the_failed_runs_that_a_selector_selects_run_again(live):
    runs = [live.trigger(DAG) for _ in range(3)]
    for run_id in runs:
        assert live.until(DAG, run_id, seconds=90)["state"] == "failed"

    begun = live.rest.post("/dagRuns/restartFailed", json={"selector": {"dag_id_pattern": DAG}})
    assert begun.status_code == 202, begun.text
    operation = live.ended(begun.json()["operation_id"])

    assert operation["state"] == "succeeded", operation
    told = {item["dag_run_id"]: item for item in operation["items"]}
    assert {told[run_id]["state"] for run_id in runs} == {"restarted"}
    assert operation["result"]["failed_task_count"] == sum(
        item["failed_task_count"] for item in told.values()
    )
    for run_id in runs:
        assert live.until(DAG, run_id, seconds=90)["state"] == "success"
