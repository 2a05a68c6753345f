"""Backfills with a scheduler that starts their runs: to the end, paused, cancelled, of what failed, in part."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.timeout(240)

TASK = "fail_at_first_on_even_days"
# Long enough for several rounds of the scheduler.
A_WHILE = 4


def wish(dag_id, days, **more):
    return {
        "dag_id": dag_id,
        "from_date": "2026-02-01T00:00:00Z",
        "to_date": f"2026-02-0{days}T00:00:00Z",
        **more,
    }


def made(live, dag_id, days, **more):
    answer = live.rest.post("/backfills", json=wish(dag_id, days, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def until(live, number, is_wanted, seconds=90):
    """The backfill as soon as its progress is as it is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        answer = live.rest.get(f"/backfills/{number}")
        assert answer.status_code == 200, answer.text
        if is_wanted(answer.json()["progress"]):
            return answer.json()
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


def put(live, number, action):
    answer = live.rest.put(f"/backfills/{number}/{action}")
    assert answer.status_code == 200, answer.text
    return answer.json()["progress"]


def ended(progress):
    return progress["left"] == 0


def runs(live, dag_id):
    """The runs of a DAG by the day that they are about."""
    found = live.rest.get(f"/dags/{dag_id}/dagRuns", params={"order_by": "logical_date"}).json()["dag_runs"]
    return {run["logical_date"][:10]: run for run in found}


def test_five_days_run_to_their_end_as_planned(live):
    plan = live.rest.post("/backfills/dry_run", json=wish("backfilled", 5)).json()
    assert plan["held_back_by"] == []
    number = made(live, "backfilled", 5, max_active_runs=2)

    progress = until(live, number, ended)["progress"]

    assert (progress["success"], progress["total"]) == (5, 5)
    real = runs(live, "backfilled")
    assert [run["logical_date"] for run in plan["backfills"]] == [
        run["logical_date"] for run in real.values()
    ]
    assert {(run["run_type"], run["state"]) for run in real.values()} == {("backfill", "success")}
    starts = [run["start_date"] for run in real.values()]
    assert starts == sorted(starts)


def test_one_is_paused_resumed_and_cancelled(live):
    number = made(live, "backfilled_slowly", 5, max_active_runs=1)
    until(live, number, lambda progress: progress["running"])
    started = 5 - put(live, number, "pause")["queued"]
    until(live, number, lambda progress: not progress["running"])
    time.sleep(A_WHILE)
    paused = live.rest.get(f"/backfills/{number}").json()
    assert (paused["progress"]["queued"], paused["progress"]["success"]) == (5 - started, started)
    assert paused["held_back_by"] == ["backfill_is_paused"]

    put(live, number, "unpause")
    going = until(live, number, lambda progress: progress["running"])
    assert going["progress"]["estimated_end"] is not None

    cancelled = put(live, number, "cancel")
    assert cancelled["queued"] == 0
    assert cancelled["failed"] == 5 - cancelled["success"] - cancelled["running"] > 0
    rest = until(live, number, ended)["progress"]
    time.sleep(A_WHILE)
    assert live.rest.get(f"/backfills/{number}").json()["progress"] == rest
    assert rest["failed"] == cancelled["failed"]
    for run in runs(live, "backfilled_slowly").values():
        tries = live.tries("backfilled_slowly", run["dag_run_id"])["take_time"]
        assert tries == (1 if run["state"] == "success" else 0)


def test_what_failed_is_run_again_and_nothing_else(live):
    first = made(live, "backfilled_again", 3)
    assert until(live, first, ended)["progress"]["failed"] == 1
    assert runs(live, "backfilled_again")["2026-02-02"]["state"] == "failed"
    # The scheduler may take half a minute to notice that it is completed.
    assert live.rest.put(f"/backfills/{first}/cancel").status_code in (200, 409)

    again = wish("backfilled_again", 3, reprocess_behavior="failed")
    plan = live.rest.post("/backfills/dry_run", json=again).json()["backfills"]
    assert [run["logical_date"] for run in plan] == ["2026-02-02T00:00:00Z"]
    number = made(live, "backfilled_again", 3, reprocess_behavior="failed")
    progress = until(live, number, ended)["progress"]

    assert (progress["success"], progress["skipped_reasons"]) == (1, {"already exists": 2})
    tries = [
        live.tries("backfilled_again", run["dag_run_id"])[TASK]
        for run in runs(live, "backfilled_again").values()
    ]
    assert tries == [1, 2, 1]


def test_of_some_tasks_no_other_is_executed_and_their_outcome_is_told(live):
    number = made(live, "backfilled_partly", 3, task_ids=[TASK])
    done = until(live, number, ended)
    assert (done["progress"]["success"], done["selection"]["outcomes"]) == (3, {"success": 2, "failed": 1})
    for day, run in runs(live, "backfilled_partly").items():
        assert live.tries("backfilled_partly", run["dag_run_id"]) == {"before": 0, TASK: 1, "after": 0}
        states = live.states("backfilled_partly", run["dag_run_id"])
        assert states == {
            "before": "success",
            TASK: "failed" if day == "2026-02-02" else "success",
            "after": "skipped",
        }


def test_of_six_made_at_once_one_wins(live):
    def make(_number):
        return live.rest.post("/backfills", json=wish("backfilled_once", 5))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(make, range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    (number,) = (answer.json()["id"] for answer in answers if answer.status_code == 200)
    assert until(live, number, ended)["progress"]["success"] == 5
    listed = live.rest.get("/backfills", params={"dag_id": "backfilled_once"}).json()
    assert (listed["total_entries"], len(runs(live, "backfilled_once"))) == (1, 5)


def test_the_scheduler_completes_what_has_ended(live):
    deadline = time.monotonic() + 60
    while True:
        (found,) = live.rest.get("/backfills", params={"dag_id": "backfilled"}).json()["backfills"]
        if found["completed_at"] is not None:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    assert live.rest.put(f"/backfills/{found['id']}/cancel").status_code == 409
