"""Some tasks of a DAG alone, with a scheduler that runs all the while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.timeout(300)
RUNS = 20


def test_twenty_runs_execute_exactly_the_chosen_tasks_in_order_while_others_run(live):
    others = [live.trigger("basic") for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: live.trigger("chosen", task_ids=["c", "d"]), range(RUNS)))
    good = 0
    for run_id in runs:
        assert live.run("chosen", run_id, wait=60)["selection"]["outcome"] == "success"
        assert live.tries("chosen", run_id) == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 0, "f": 0}
        assert set(live.states("chosen", run_id).values()) == {"success", "skipped"}
        ended = live.instance("chosen", run_id, "c")["end_date"]
        good += live.instance("chosen", run_id, "d")["start_date"] >= ended
    assert good == RUNS
    assert {live.run("basic", run_id, wait=60)["state"] for run_id in others} == {"success"}


def test_the_outcome_is_that_of_the_selected_tasks_whatever_airflow_says(live):
    failing, upstream = (
        live.trigger("chosen", task_ids=["c", "d"], conf={"fails": task_id}) for task_id in ("d", "c")
    )
    found = live.run("chosen", failing, wait=60)
    assert (found["state"], found["selection"]["outcome"]) == ("success", "failed")
    assert found["selection"]["states"] == {"success": 1, "failed": 1}
    found = live.run("chosen", upstream, wait=60)
    assert (found["state"], found["selection"]["outcome"]) == ("success", "failed")
    assert found["selection"]["states"] == {"failed": 1, "upstream_failed": 1}


def test_a_mapped_task_runs_with_its_feeder_and_is_refused_without(live):
    path = "/dags/chosen_mapped/dagRuns"
    refused = live.rest.post(path, json={"logical_date": None, "task_ids": ["mapped"]})
    assert refused.status_code == 422
    run_id = live.trigger("chosen_mapped", task_ids=["feeder", "mapped"])
    assert live.run("chosen_mapped", run_id, wait=60)["selection"]["outcome"] == "success"
    assert live.tries("chosen_mapped", run_id) == {
        "before": 0,
        "feeder": 1,
        "mapped[0]": 1,
        "mapped[1]": 1,
        "last": 0,
    }


def test_tasks_run_now_where_the_scheduler_lets_them_and_are_refused_where_not(live):
    run_id = live.trigger("run_now")
    for task_id, state in (("waits", "running"), ("fails_one_failed", "success")):
        live.until_task("run_now", run_id, task_id, state)
    for task_id in ("works_none_failed", "skips_none_failed", "fails_all_done"):
        live.until_task("run_now", run_id, task_id, "success")
    before = live.tries("run_now", run_id)
    path = f"/dags/run_now/dagRuns/{run_id}"

    refused = {
        *(f"{kind}_one_failed" for kind in ("works", "skips")),
        *(f"fails_{rule}" for rule in ("all_success", "none_failed")),
        "skips_all_success",
    }
    for task_id in refused:
        answer = live.rest.post(f"{path}/taskInstances/{task_id}/run")
        assert answer.status_code == 409, answer.text
        assert answer.json()["dependencies"]
    assert live.rest.post(f"{path}/taskInstances/waits/run").json()["type"].endswith("is-active")

    started = (
        *(f"waits_{rule}" for rule in ("all_success", "all_done", "none_failed", "one_failed")),
        *("works", "works_all_success", "fails_all_done", "skips_all_done", "skips_none_failed"),
    )
    for task_id in started:
        answer = live.rest.post(f"{path}/taskInstances/{task_id}/run")
        assert answer.status_code == 200, answer.text
        # So many at once have to wait for each other.
        assert set(answer.json()["held_back_by"]) <= {"parallelism_reached"}
    for task_id in started:
        live.until_task("run_now", run_id, task_id, "success")
    after = live.tries("run_now", run_id)
    assert after == {name: tries + (name in started) for name, tries in before.items()}
    assert live.states("run_now", run_id)["waits"] == "running"

    isolated = live.rest.post(f"{path}/taskInstances/fails_all_success/run", params={"isolated": True}).json()
    found = live.run("run_now", isolated["dag_run_id"], wait=60)
    assert (found["state"], found["selection"]["outcome"]) == ("success", "success")
    ran = {name for name, tries in live.tries("run_now", isolated["dag_run_id"]).items() if tries}
    assert ran == {"fails_all_success"}
    live.rest.patch(path, json={"state": "failed"})


def test_one_task_of_a_run_that_has_ended_runs_again_and_the_rest_stays(live):
    run_id = live.trigger("basic")
    live.until("basic", run_id)
    second = live.instance("basic", run_id, "second")
    assert live.rest.post(f"/dags/basic/dagRuns/{run_id}/taskInstances/first/run").status_code == 200
    assert live.run("basic", run_id, wait=60)["state"] == "success"
    assert live.tries("basic", run_id) == {"first": 2, "second": 1}
    assert live.instance("basic", run_id, "second") == second
