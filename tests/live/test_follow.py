"""Following logs of tasks that really run: line by line, to the last one."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import clients

# Nothing here depends on the locks of the database.
DATABASES = ("sqlite",)
pytestmark = pytest.mark.timeout(240)
LINES = {"Accept": "application/x-ndjson"}


def log_path(dag_id, run_id, task_id, number=1):
    return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{number}"


def follow(live, path, seen=lambda _: None):
    """Follow a log to its end; return when each of its lines came, and what it says."""
    headers = {**LINES, "Authorization": f"Bearer {clients.Tokens()('admin')}", "Accept-Encoding": "gzip"}
    address = f"{live.url}/rest_api/v1{path}"
    found = []
    with live.rest.http.stream(
        "GET", address, params={"follow": True}, headers=headers, timeout=60
    ) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.strip():
                found.append((time.monotonic(), json.loads(line)["event"]))
                seen(found[-1][1])
    return found


def whole(live, path):
    return [json.loads(line)["event"] for line in live.rest.get(path, headers=LINES).text.splitlines()]


def messages(events):
    """What was said, in any order, without the names of the files: a trigger's comes when it has begun."""
    return sorted(event for event in events if "/dag_id=" not in event)


def test_logs_of_a_run_from_before_it_begins_to_the_last_line(live):
    live.rest.patch("/dags/followed", json={"is_paused": True})
    run_id = live.trigger("followed")
    paths = {
        name: log_path("followed", run_id, name) for name in ("counts", "tried", "deferred", "speaks_late")
    }
    with ThreadPoolExecutor(8) as pool:
        followers = {name: pool.submit(follow, live, path) for name, path in paths.items()}
        time.sleep(1)
        live.rest.patch("/dags/followed", json={"is_paused": False})
        got = {name: follower.result(120) for name, follower in followers.items()}
    live.until("followed", run_id, "failed")

    said = {name: [event for _, event in lines] for name, lines in got.items()}
    for name, path in paths.items():
        # A follower gets lines in the order in which they were written, a reader in that of their times.
        assert messages(said[name]) == messages(whole(live, path)), name
    times = [at for at, event in got["counts"] if event.startswith("line ")]
    assert len(times) == 5
    assert times[-1] - times[0] > 2, "the lines came all at once"
    assert any("said after the success" in event for event in said["speaks_late"])
    second = [event for _, event in follow(live, log_path("followed", run_id, "tried", 2))]
    assert messages(second) == messages(whole(live, log_path("followed", run_id, "tried", 2)))


def test_a_task_that_is_killed_ends_its_log(live):
    run_id = live.trigger("endless")
    path = log_path("endless", run_id, "counts")
    killed = []

    def kill(event):
        if event == "tick" and not killed:
            killed.append(time.monotonic())
            live.rest.patch(f"/dags/endless/dagRuns/{run_id}", json={"state": "failed"})

    got = follow(live, path, kill)
    assert time.monotonic() - killed[0] < 40
    assert messages(event for _, event in got) == messages(whole(live, path))
