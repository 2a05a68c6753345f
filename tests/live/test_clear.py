"""Clearing and setting states on an Airflow that runs tasks: what was told runs again, and nothing else."""

from __future__ import annotations

import pytest

from tests.live.test_skip import ended, skip

pytestmark = pytest.mark.timeout(240)


def clear(live, run_id, dag_id="breaks", **body):
    """Clear tasks of a run and return the names of what was cleared."""
    answer = live.rest.post(f"/dags/{dag_id}/clearTaskInstances", json={"dag_run_id": run_id, **body})
    assert answer.status_code == 200, answer.text
    return {entry["task_id"] for entry in answer.json()["task_instances"]}


def ids(live, run_id):
    """The id of the present try of each task."""
    return {entry["task_id"]: entry["id"] for entry in live.instances("breaks", run_id)}


def test_exactly_what_failed_runs_again_and_then_what_is_named(live):
    run_id = live.trigger("breaks")
    assert live.until("breaks", run_id)["state"] == "failed"
    first = ids(live, run_id)
    failed = {"broken", "after", "tolerant"}

    assert clear(live, run_id) == failed
    assert ids(live, run_id) == first
    assert clear(live, run_id, dry_run=False) == failed
    assert live.until("breaks", run_id)["state"] == "success"
    second = ids(live, run_id)
    assert {name for name in first if first[name] != second[name]} == failed
    assert live.tries("breaks", run_id) == {"good": 1, "broken": 2, "after": 1, "tolerant": 1}

    named = {"task_ids": ["broken"], "only_failed": False, "include_downstream": True}
    assert clear(live, run_id) == set()
    assert clear(live, run_id, **named) == clear(live, run_id, **named, dry_run=False) == failed
    assert live.until("breaks", run_id)["state"] == "success"
    third = ids(live, run_id)
    assert {name for name in first if second[name] != third[name]} == failed
    assert live.tries("breaks", run_id) == {"good": 1, "broken": 3, "after": 2, "tolerant": 2}


def test_a_task_that_runs_is_ended_and_runs_again(live):
    run_id = live.trigger("sleeps")
    first = live.until_task("sleeps", run_id, "sleeper", "running")
    body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "task_ids": ["sleeper"]}
    refused = live.rest.post("/dags/sleeps/clearTaskInstances", json={**body, "prevent_running_task": True})
    assert refused.status_code == 409

    assert clear(live, run_id, "sleeps", dry_run=False, only_failed=False, only_running=True) == {"sleeper"}

    assert live.until_task("sleeps", run_id, "sleeper", ("queued", "scheduled", None))
    second = live.until_task("sleeps", run_id, "sleeper", "running")
    assert (second["try_number"], second["pid"] != first["pid"]) == (2, True)
    assert ended(first["pid"])
    skip(live, "sleeps", run_id, "sleeper", downstream=True)
    assert live.until("sleeps", run_id)["state"] == "success"
    assert ended(second["pid"])


def test_a_run_goes_on_after_a_task_that_is_set_to_success(live):
    run_id = live.trigger("breaks")
    assert live.until("breaks", run_id)["state"] == "failed"
    path = f"/dags/breaks/dagRuns/{run_id}/taskInstances/broken"
    told = live.rest.patch(f"{path}/dry_run", json={"new_state": "success"}).json()
    assert [entry["state"] for entry in told["task_instances"]] == ["failed"]

    assert live.rest.patch(path, json={"new_state": "success", "note": "By hand."}).status_code == 200

    assert live.until("breaks", run_id)["state"] == "success"
    assert set(live.states("breaks", run_id).values()) == {"success"}
    assert live.instance("breaks", run_id, "broken")["note"] == "By hand."
    assert live.rest.patch(path, json={"new_state": "success"}).status_code == 409


def test_a_task_that_is_set_to_failed_in_bulk_or_deleted_while_it_runs_is_ended(live):
    runs = [live.trigger("sleeps") for _ in range(2)]
    pids = [live.until_task("sleeps", run_id, "sleeper", "running")["pid"] for run_id in runs]
    entity = {"task_id": "sleeper", "new_state": "failed"}
    body = {"actions": [{"action": "update", "entities": [entity]}]}

    answer = live.rest.patch(f"/dags/sleeps/dagRuns/{runs[0]}/taskInstances", json=body)
    assert answer.json()["update"]["errors"] == []
    assert live.rest.delete(f"/dags/sleeps/dagRuns/{runs[1]}/taskInstances/sleeper").status_code == 200

    assert ended(pids[0])
    assert live.until("sleeps", runs[0])["state"] == "failed"
    assert ended(pids[1])
    ended_by_hand = live.rest.patch(f"/dags/sleeps/dagRuns/{runs[1]}", json={"state": "failed"})
    assert ended_by_hand.status_code == 200
