"""Two fresh runs that are alike: one for Airflow's `/api/v2`, one for us, to compare what both do to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx

from tests.support import comparison
from tests.support.clients import Client
from tests.support.scenario import Run

Call = Callable[[Client, Run], httpx.Response]
RECENT = timedelta(minutes=10)


def assert_alike(
    v2: Client, rest: Client, make: Callable[[], Run], call: Call, **options: Any
) -> httpx.Response:
    """Do `call` to a run by `/api/v2` and to its twin by us: the answers and what is left of both must be alike.

    `options` go to `comparison.assert_same`. Returns our answer.
    """
    theirs_run, ours_run = make(), make()
    theirs, ours = call(v2, theirs_run), call(rest, ours_run)
    if theirs.is_success and theirs.status_code != 204:
        assert ours.status_code == theirs.status_code, ours.text
        assert_equal(plain(ours.json(), ours_run), plain(theirs.json(), theirs_run), ours)
    elif theirs.is_success:
        assert (ours.status_code, ours.content) == (204, b"")
    else:
        comparison.assert_same(ours, theirs, **options)
    assert_equal(remains(v2, ours_run), remains(v2, theirs_run), ours)
    return ours


def assert_equal(mine: Any, yours: Any, answer: httpx.Response) -> None:
    """Assert that two JSON values are the same, and tell where they differ."""
    found = list(comparison.differences(mine, yours))
    assert not found, comparison.report(found, answer)


def remains(v2: Client, run: Run) -> Any:
    """What the database holds of a run and its task instances, without what must differ between twins."""
    found = v2.get(run.path)
    if found.status_code == 404:
        return None
    instances = v2.get(f"{run.path}/taskInstances", params={"order_by": ["map_index"]}).json()[
        "task_instances"
    ]
    tries = {
        entry["task_id"]: v2.get(f"{run.path}/taskInstances/{entry['task_id']}/tries").json()
        for entry in instances
    }
    by_name = sorted(instances, key=lambda entry: (entry["task_id"], entry["map_index"]))
    return plain([found.json(), by_name, dict(sorted(tries.items()))], run)


def plain(value: Any, run: Run) -> Any:
    """Take out of a JSON value the run's id, the ids of task instances, and times of just now."""
    if isinstance(value, dict):
        # DAG versions are the same on both sides, and may have come to be at the edge of what is recent.
        return _plain_object(
            {key: entry if key == "created_at" else plain(entry, run) for key, entry in value.items()}
        )
    if isinstance(value, list):
        return [plain(entry, run) for entry in value]
    if not isinstance(value, str):
        return value
    return "just now" if _is_recent(value) else value.replace(run.dag_run_id, "the run")


def _plain_object(value: dict[str, Any]) -> dict[str, Any]:
    masks = {}
    if "id" in value and "task_id" in value:
        masks["id"] = "of a task instance"
    if "just now" in (value.get("end_date"), value.get("start_date")) and value.get("duration") is not None:
        masks["duration"] = "until just now"
    return value | masks


def _is_recent(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return moment.tzinfo is not None and abs(datetime.now(timezone.utc) - moment) < RECENT
