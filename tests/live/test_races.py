"""Who kills, skips, clears and deletes while tasks run does no harm (`scripts/faults races` does it 200 times)."""

from __future__ import annotations

import pytest

from tests.faults import races

pytestmark = pytest.mark.timeout(300)


def test_calls_race_with_the_executor(live):
    figures = races.raced(live, rounds=10)
    assert figures["calls"] >= 40
    assert figures["transitions"] > 0


class TestTheChecksThemselves:
    def test_a_change_of_an_end_is_seen(self, live):
        run_id = live.trigger("basic")
        live.until("basic", run_id)
        with races.watched(live.database_url) as seen:
            path = f"/dags/basic/dagRuns/{run_id}/taskInstances/second"
            answer = live.rest.patch(path, json={"new_state": "failed"})
            assert answer.status_code == 200, answer.text
            found = races.judged(seen())
        assert [(change[0], *change[3:]) for change in found] == [("task_instance", "success", "failed")]

    def test_only_what_airflow_overwrites_without_locks_is_put_down_to_it(self):
        lost = ("task_instance", "a", "a", "failed", "queued")
        assert races.judged([lost]) == [lost]
        assert races.is_of_airflow(lost)
        assert not races.is_of_airflow(("task_instance", "a", "a", "success", "failed"))

    def test_a_new_try_is_none(self):
        legal = ("task_instance", "a", "b", "success", None)
        assert races.judged([legal, ("dag_run", "0", "1", "failed", "running")]) == []
        assert races.judged([("dag_run", "1", "1", "failed", "running")]) != []
