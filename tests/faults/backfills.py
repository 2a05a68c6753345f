"""Backfills: a server that dies while it makes one leaves nothing of it, and nothing in the way of the next."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.faults import retries
from tests.support import servers

BACKFILLS = "/rest_api/v1/backfills"
RUNS = "/rest_api/v1/dags/example_bash_operator/dagRuns"
FIVE_DAYS = {
    "dag_id": "example_bash_operator",
    "from_date": "2026-02-01T00:00:00Z",
    "to_date": "2026-02-05T00:00:00Z",
}


def run(full: bool) -> dict[str, object]:
    """Kill a server that has made two of five runs, on both databases, and repeat the call with its key.

    Quick, on SQLite alone, and another call afterwards.
    """
    figures: dict[str, object] = {}
    for name, settings in retries.databases() if full else [("sqlite", {})]:
        with tempfile.TemporaryDirectory(prefix="airflow-backfills-") as folder:
            found = over_a_kill(Path(folder), settings, has_key=full)
        figures |= {f"{name}: {figure}": value for figure, value in found.items()}
    return figures


def over_a_kill(home: Path, settings: dict[str, str], *, has_key: bool) -> dict[str, object]:
    """Make a backfill on a server that dies half-way, look at what is left, and make it on another one."""
    headers = {"Idempotency-Key": uuid4().hex} if has_key else {}
    with retries.dying(home, settings, "half_made") as call:
        before = held(call)
        retries.unanswered(call, BACKFILLS, json=FIVE_DAYS, headers=headers)
    with (
        servers.running("standalone", home, is_covered=False, **settings) as server,
        retries.api(server.url) as call,
    ):
        left = held(call)
        assert left == before, f"left behind: {left}, there were {before}"
        answer, _told = retries.settled(call, BACKFILLS, json=FIVE_DAYS, headers=headers)
        backfills, runs = held(call)
    assert answer.status_code == 200, answer.text
    assert (backfills, runs) == (before[0] + 1, before[1] + 5)
    return {"left behind": 0, "runs made afterwards": runs - before[1]}


def held(call: Any) -> tuple[int, int]:
    """How many backfills there are, and how many runs of the DAG."""
    counts = [call("GET", path, params={"limit": 1}).json()["total_entries"] for path in (BACKFILLS, RUNS)]
    return counts[0], counts[1]
