"""Some tasks of a DAG alone, with a scheduler that runs all the while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.timeout(300)
RUNS = 20


def test_twenty_runs_execute_exactly_the_chosen_tasks_in_order_while_others_run(live):
    others = [live.trigger("chosen"), live.trigger("basic")]
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
    assert live.run("chosen", others[0], wait=60)["state"] == "success"
    assert set(live.tries("chosen", others[0]).values()) == {1}
