"""Old calls that run, test and clear tasks, and make backfills, with a scheduler: they answer at the end."""

from __future__ import annotations

import pytest

from tests.support import clients
from tests.support.old_calls import OldCalls

# Nothing here depends on the locks of the database.
DATABASES = ("sqlite",)
pytestmark = pytest.mark.timeout(240)

DONE = "Backfill done. Exiting."


@pytest.fixture
def printed(live):
    """`printed("run", **arguments)`: what the command printed, stdout and stderr."""
    old = OldCalls(live.rest.http, clients.Tokens())

    def call(name, **arguments):
        told = old("clairvoyant", name, form=arguments).json()
        assert told["status"] == "OK", told
        return told["output"]["stdout"], told["output"]["stderr"]

    return call


def test_a_task_runs_to_its_end_and_not_again(live, printed):
    place = {"dag_id": "basic", "task_id": "first", "execution_date": "2026-03-01"}
    name = "<TaskInstance: basic.first 2026-03-01T00:00:00+00:00"
    assert printed("run", **place) == (f"Running {name} [None]>\nsuccess\n", "")
    assert printed("run", **place)[1].startswith(f"Dependencies not met for {name} [success]>")
    assert printed("run", **place, force="on") == (f"Running {name} [scheduled]>\nsuccess\n", "")
    assert printed("clear", dag_id="basic", execution_date="2026-03-01", task_regex="first") == ("", "")
    runs = live.rest.get("/dags/basic/dagRuns", params={"logical_date_gte": "2026-03-01T00:00:00Z"}).json()
    (run_id,) = [run["dag_run_id"] for run in runs["dag_runs"]]
    assert live.until("basic", run_id)["state"] == "success"
    assert live.tries("basic", run_id) == {"first": 3, "second": 0}


def test_a_task_is_tested_to_its_end(live, printed):
    place = {"task_id": "succeed", "dag_id": "trials", "execution_date": "2026-03-01"}
    stdout, stderr = printed("test", **place, task_params='{"limit": 5}')
    assert ("limit is 5" in stdout, stderr) == (True, "")
    stdout, stderr = printed("test", **{**place, "dag_id": "trials_rough", "task_id": "fail"})
    assert ("it failed on purpose" in stdout, "ended as 'failed'" in stderr) == (True, True)


def test_a_backfill_ends_with_what_failed_and_another_one_may_follow(live, printed):
    place = {"dag_id": "backfilled_by_command", "task_regex": "fail"}
    stdout, stderr = printed("backfill", **place, start_date="2026-04-01", end_date="2026-04-02")
    told = (
        "[backfill progress] | finished run {0} of {0} | running: 0 | succeeded: 1 | failed: {1} | skipped: 0"
    )
    assert stdout.splitlines() == [told.format(2, 1), DONE]
    (*_, name) = stderr.splitlines()
    task = "backfilled_by_command.fail_at_first_on_even_days"
    assert name == f"<TaskInstance: {task} 2026-04-02T00:00:00+00:00 [failed]>"
    # An even day, at which the task would fail.
    stdout, stderr = printed("backfill", **place, start_date="2026-04-04", mark_success="on")
    assert (stdout.splitlines(), stderr) == ([told.format(1, 0), DONE], "")
