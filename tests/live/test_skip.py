"""Skipping on an Airflow that runs tasks: the run goes on without what is skipped, and ends as promised."""

from __future__ import annotations

import time

import psutil
import pytest

pytestmark = pytest.mark.timeout(240)


def skip(live, dag_id, run_id, task_id, **params):
    """Skip a task and return the answer."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/skip"
    answer = live.rest.post(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer):
    """What an answer says was skipped."""
    return [entry["task_id"] for entry in answer["task_instances"]]


def ended(pid, seconds=30):
    """Whether the process is gone in time."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_a_failed_run_goes_on_without_the_task_that_failed(live):
    run_id = live.trigger("breaks")
    assert live.until("breaks", run_id)["state"] == "failed"
    before = {entry["task_id"]: entry["id"] for entry in live.instances("breaks", run_id)}

    tried = skip(live, "breaks", run_id, "broken", dry_run=True)
    assert live.states("breaks", run_id)["broken"] == "failed"
    answer = skip(live, "breaks", run_id, "broken")

    assert names(answer) == names(tried) == ["broken"]
    assert {entry["task_id"] for entry in answer["cleared"]} == {"after", "tolerant"}
    assert live.until("breaks", run_id)["state"] == "success"
    after = {"good": "success", "broken": "skipped", "after": "skipped", "tolerant": "success"}
    assert live.states("breaks", run_id) == after
    kept = {entry["task_id"]: entry["id"] for entry in live.instances("breaks", run_id)}
    assert {name for name in kept if kept[name] == before[name]} == {"good", "broken"}


def test_a_failed_run_ends_without_the_task_that_failed_and_all_that_follows(live):
    run_id = live.trigger("breaks")
    assert live.until("breaks", run_id)["state"] == "failed"

    answer = skip(live, "breaks", run_id, "broken", downstream=True)

    assert names(answer) == ["broken", "after", "tolerant"]
    assert answer["dag_run_state"] == "queued"
    assert live.until("breaks", run_id)["state"] == "success"
    after = dict.fromkeys(("broken", "after", "tolerant"), "skipped")
    assert live.states("breaks", run_id) == {"good": "success", **after}
    path = f"/dags/breaks/dagRuns/{run_id}/taskInstances/broken/skip"
    assert live.rest.post(path, params={"downstream": True}).status_code == 409


def test_a_task_that_runs_is_ended_and_its_run_goes_on(live):
    run_id = live.trigger("sleeps")
    pid = live.until_task("sleeps", run_id, "sleeper", "running")["pid"]
    assert psutil.pid_exists(pid)

    waiting = skip(live, "sleeps", run_id, "after")
    assert (names(waiting), waiting["dag_run_state"]) == (["after"], "running")
    assert names(skip(live, "sleeps", run_id, "sleeper")) == ["sleeper"]

    assert live.until("sleeps", run_id)["state"] == "success"
    assert live.states("sleeps", run_id) == {"sleeper": "skipped", "after": "skipped", "tolerant": "success"}
    assert ended(pid)
    assert live.instance("sleeps", run_id, "sleeper")["state"] == "skipped"


def test_a_mapped_task_is_skipped_before_it_is_expanded(live):
    run_id = live.trigger("maps")
    live.until_task("maps", run_id, "numbers", "running")

    assert names(skip(live, "maps", run_id, "double")) == ["double"]

    assert live.until("maps", run_id)["state"] == "success"
    assert live.states("maps", run_id) == {"numbers": "success", "double": "skipped", "total": "skipped"}


def test_what_was_set_up_is_torn_down(live):
    run_id = live.trigger("tears_down")
    live.until_task("tears_down", run_id, "use", "running")

    answer = skip(live, "tears_down", run_id, "use", downstream=True)

    assert names(answer) == ["use", "report"]
    assert [(entry["task_id"], entry["reason"]) for entry in answer["left_alone"]] == [("clean", "teardown")]
    assert live.until("tears_down", run_id)["state"] == "success"
    after = {"build": "success", "use": "skipped", "report": "skipped", "clean": "success"}
    assert live.states("tears_down", run_id) == after
