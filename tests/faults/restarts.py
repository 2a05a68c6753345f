"""Restarts: a thousand failed runs by one call, beside a thousand calls of Airflow's `/api/v2`, on one server."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import httpx

from tests.support import clients, servers
from tests.support.runs import new_run
from tests.support.scenario import Run

RUNS = 1000
MOST_SHARE = 1 / 5
FAILED = {"first": "success", "second": "failed", "third": "upstream_failed", "alone": "success"}
# What failed and what is downstream of it; the others stay.
EXPECTED = {"first": "success", "second": None, "third": None, "alone": "success"}
# No other run starts as late as these two sets.
SINGLY, TOGETHER = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2032, 2033))
CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
Call = Callable[..., httpx.Response]


def run(full: bool) -> dict[str, object]:
    """Restart 1,000 failed runs in both ways, on the database of this process (quick: 30)."""
    number = RUNS if full else 30
    singly, together = ([_failed(after) for _ in range(number)] for after in (SINGLY, TOGETHER))
    home = Path(os.environ["AIRFLOW_HOME"])
    settings = {CONNECTION: os.environ[CONNECTION]}
    with servers.running("mounted", home, is_covered=False, **settings) as server, _api(server.url) as call:
        one_by_one = _timed(lambda: _one_by_one(call, singly))
        at_once = _timed(lambda: _at_once(call, number))
        for made in (singly, together):
            _check(call, made)
    if full:
        judged(one_by_one, at_once)
    return {
        "runs": number,
        "single calls of /api/v2, seconds": round(one_by_one, 1),
        "one call, seconds": round(at_once, 1),
        "share": round(at_once / one_by_one, 3),
    }


@contextmanager
def _api(url: str) -> Iterator[Call]:
    """`call("POST", path, …)` as the admin, with a token that both services accept."""
    with httpx.Client(base_url=url, timeout=120) as http:
        http.headers["Authorization"] = f"Bearer {clients.Tokens()('admin')}"
        yield http.request


def judged(one_by_one: float, at_once: float) -> None:
    """Fail when one call takes more than a fifth of the time of single ones."""
    share = at_once / one_by_one
    assert share <= MOST_SHARE, f"one call took {share:.2f} of the time of single ones"


def _failed(after: datetime) -> Run:
    return new_run("manual", state="failed", task_states=FAILED, run_after=after)


def _timed(do: Callable[[], None]) -> float:
    begin = time.monotonic()
    do()
    return time.monotonic() - begin


def _one_by_one(call: Call, runs: list[Run]) -> None:
    for made in runs:
        body = {
            "dry_run": False,
            "dag_run_id": made.dag_run_id,
            "only_failed": True,
            "include_downstream": True,
            "reset_dag_runs": True,
            "task_ids": ["second"],
        }
        answer = call("POST", f"/api/v2/dags/{made.dag_id}/clearTaskInstances", json=body)
        assert answer.status_code == 200, answer.text


def _at_once(call: Call, number: int) -> None:
    body = {"selector": {"run_after_gte": TOGETHER.isoformat(), "max_runs": 10_000}}
    begun = call("POST", "/rest_api/v1/dagRuns/restartFailed", json=body)
    assert begun.status_code == 202, begun.text
    place = f"/rest_api/v1/operations/{begun.json()['operation_id']}"
    while (operation := call("GET", place, params={"wait": 60}).json())["state"] in ("queued", "running"):
        pass
    assert operation["state"] == "succeeded", operation
    assert operation["result"]["restarted"] == number, operation["result"]


def _check(call: Call, runs: list[Run]) -> None:
    """Look whether every run goes again with exactly what failed."""
    states: Counter[str] = Counter()
    for made in runs[:: max(1, len(runs) // 20)]:
        found = call("GET", f"/rest_api/v1{made.path}/taskInstances").json()["task_instances"]
        assert {entry["task_id"]: entry["state"] for entry in found} == EXPECTED, found
        states[call("GET", f"/rest_api/v1{made.path}").json()["state"]] += 1
    assert set(states) == {"queued"}, states
