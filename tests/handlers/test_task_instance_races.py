"""Changes of task instances while their tasks end: what has ended meanwhile is not overwritten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.dag_runs import of_type
from tests.support.task_instances import at

pytestmark = pytest.mark.postgres
RUNNING = {"first": "running", "second": None}


@contextmanager
def held(run, change: Callable) -> Iterator[None]:
    """Hold the task instance `first` as the process that runs it does, and change it when the block ends."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        statement = select(TaskInstance).where(
            TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "first"
        )
        instance = session.scalar(statement.with_for_update(of=TaskInstance))
        yield
        change(session, instance)


def while_held(run, change, call):
    """The answer of a call that comes while `first` is held."""
    answers = []
    caller = threading.Thread(target=lambda: answers.append(call()))
    with held(run, change):
        caller.start()
        caller.join(0.5)
        assert not answers, "the call did not wait"
    caller.join(30)
    return answers[0]


def succeed(session, instance):
    instance.state = "success"


def try_again(session, instance):
    instance.state = "up_for_retry"
    instance.prepare_db_for_next_try(session)


def clear(run, **body):
    return {
        "dag_run_id": run.dag_run_id,
        "dry_run": False,
        "only_failed": False,
        "task_ids": ["first"],
        **body,
    }


def test_a_task_that_succeeds_at_the_last_moment_is_not_skipped(rest, new_run):
    run = new_run(state="running", task_states=RUNNING)
    answer = while_held(run, succeed, lambda: rest.post(at(run, "first", "skip")))
    assert answer.status_code == 409
    of_type(answer, "nothing-to-skip")
    assert rest.get(at(run, "first")).json()["state"] == "success"


def test_a_task_that_succeeds_at_the_last_moment_is_not_cleared_among_those_that_run(rest, new_run):
    run = new_run(state="running", task_states=RUNNING)
    answer = while_held(
        run, succeed, lambda: rest.post("/dags/manual/clearTaskInstances", json=clear(run, only_running=True))
    )
    assert (answer.status_code, answer.json()["task_instances"]) == (200, [])
    assert rest.get(at(run, "first")).json()["state"] == "success"


def test_a_task_that_begins_another_try_at_the_last_moment_is_cleared_all_the_same(rest, new_run):
    run = new_run(state="running", task_states=RUNNING)
    answer = while_held(run, try_again, lambda: rest.post("/dags/manual/clearTaskInstances", json=clear(run)))
    assert answer.json()["total_entries"] == 1
    assert rest.get(at(run, "first")).json()["state"] is None


@pytest.mark.parametrize("change", [succeed, try_again], ids=["succeeds", "tries_again"])
@pytest.mark.parametrize("method", ["patch", "delete", "bulk", "note"])
def test_other_changes_wait_for_the_task_and_are_made(rest, new_run, change, method):
    run = new_run(state="running", task_states=RUNNING)
    update = {"action": "update", "entities": [{"task_id": "first", "new_state": "failed"}]}
    calls = {
        "patch": lambda: rest.patch(
            at(run, "first"), json={"new_state": "failed", "include_downstream": True}
        ),
        "note": lambda: rest.patch(at(run, "first"), json={"note": "Noted."}),
        "delete": lambda: rest.delete(at(run, "first")),
        "bulk": lambda: rest.patch(at(run), json={"actions": [update]}),
    }
    answer = while_held(run, change, calls[method])
    assert answer.status_code == 200, answer.text
    found = rest.get(at(run, "first"))
    if method == "delete":
        assert found.status_code == 404
    elif method == "note":
        assert found.json()["note"] == "Noted."
    else:
        assert found.json()["state"] == "failed"
