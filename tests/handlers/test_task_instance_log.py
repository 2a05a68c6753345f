"""TaskInstance: logs."""

from __future__ import annotations

import json

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from itsdangerous import URLSafeSerializer
from sqlalchemy import update

LINES = {"Accept": "application/x-ndjson"}


def at(run, task, number=1):
    return f"{run.path}/taskInstances/{task}/logs/{number}"


def events(answer):
    return [message["event"] for message in answer.json()["content"]]


@pytest.fixture
def running(new_run, home):
    """A run with a task that is running, and two lines in its log."""
    run = new_run("manual", state="running", task_states={"first": "running"})
    with create_session(scoped=False) as session:
        chosen = (TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == "first")
        # Without a host nobody is asked for what is not in the files.
        session.execute(update(TaskInstance).where(*chosen).values(hostname=""))
    write(home, run, "one", "two")
    return run


def write(home, run, *lines):
    """Append lines to the log of the running task."""
    folder = home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.dag_run_id}" / "task_id=first"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "attempt=1.log").open("a") as log:
        log.writelines(
            json.dumps({"timestamp": "2026-02-01T00:00:00Z", "event": line}) + "\n" for line in lines
        )


class TestGetLog:
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_the_whole_answer_is_airflows(self, parity, scenario, number):
        ours, theirs = parity("GET", at(scenario.failed, scenario.retried_task, number))
        assert f"Try {number} starts" in events(ours)
        assert ours.json()["continuation_token"] is None
        assert list(ours.json()["content"][-1]) == list(theirs.json()["content"][-1])

    @pytest.mark.parametrize("number", [1, 3])
    def test_the_lines_are_airflows(self, parity, scenario, number):
        ours, _ = parity("GET", at(scenario.failed, scenario.retried_task, number), headers=LINES)
        assert ours.headers["content-type"].startswith("application/x-ndjson")
        assert [json.loads(line)["event"] for line in ours.text.splitlines()][-1] == "It did not work: ü"

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "application/x-ndjson"])
    def test_the_media_type_is_chosen_as_in_airflow(self, parity, scenario, accept):
        ours, theirs = parity("GET", at(scenario.example, "runme_0"), headers={"Accept": accept})
        assert ours.headers["content-type"].split(";")[0] == theirs.headers["content-type"].split(";")[0]

    def test_another_media_type_cannot_be_made(self, parity, scenario):
        ours, _ = parity("GET", at(scenario.example, "runme_0"), headers={"Accept": "text/html"})
        assert ours.status_code == 406

    @pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
    def test_a_try_that_has_not_begun_has_no_log(self, parity, scenario, accept):
        for task in ("check", "report"):
            parity("GET", at(scenario.failed, task, 0), headers={"Accept": accept}, normalise=without_times)

    def test_a_task_without_a_log_is_told_as_in_airflow(self, parity, scenario):
        parity("GET", at(scenario.queued, "start", 0), normalise=without_times)

    def test_full_content_can_be_asked_for(self, parity, scenario):
        parity("GET", at(scenario.example, "runme_0"), params={"full_content": True})

    def test_an_index_can_be_given(self, parity, scenario):
        ours, _ = parity("GET", at(scenario.mapped_run, "double"), params={"map_index": 0})
        assert "Try 1 starts" in events(ours)

    def test_a_log_that_grows_is_read_on_from_the_token(self, parity, running, home):
        first, _ = parity("GET", at(running, "first"))
        assert events(first)[-2:] == ["one", "two"]
        write(home, running, "three")
        token = first.json()["continuation_token"]
        further, _ = parity("GET", at(running, "first"), params={"token": token})
        assert events(further) == ["three"]
        nothing, _ = parity(
            "GET", at(running, "first"), params={"token": further.json()["continuation_token"]}
        )
        assert events(nothing) == []

    def test_a_log_that_grows_is_told_as_lines_so_far(self, parity, running):
        ours, _ = parity("GET", at(running, "first"), headers=LINES)
        assert [json.loads(line)["event"] for line in ours.text.splitlines()][-2:] == ["one", "two"]

    def test_a_token_of_somebody_else_is_refused(self, parity, scenario):
        for token in ("x", "x.y", URLSafeSerializer("another key").dumps({"log_pos": 3})):
            ours, _ = parity("GET", at(scenario.example, "runme_0"), params={"token": token})
            assert ours.json()["type"].endswith(":invalid-log-token")

    @pytest.mark.in_process
    def test_a_signed_token_that_is_no_token_of_a_log_is_refused(self, rest, scenario):
        # Airflow fails (500) on what it signed for another purpose.
        from airflow.configuration import conf

        token = URLSafeSerializer(conf.get("api", "secret_key")).dumps(3)
        assert rest.get(at(scenario.example, "runme_0"), params={"token": token}).status_code == 400

    @pytest.mark.in_process
    def test_a_log_handler_that_cannot_read_is_told(self, parity, scenario, monkeypatch):
        from airflow.utils.log.log_reader import TaskLogReader

        monkeypatch.setattr(TaskLogReader, "supports_read", property(lambda self: False))
        ours, _ = parity("GET", at(scenario.example, "runme_0"))
        assert ours.json()["type"].endswith(":logs-not-readable")

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_a_task_that_the_dag_no_longer_has_still_has_its_log(self, parity, running):
        with create_session(scoped=False) as session:
            chosen = (TaskInstance.run_id == running.dag_run_id, TaskInstance.task_id == "second")
            session.execute(update(TaskInstance).where(*chosen).values(task_id="gone", hostname=""))
        parity("GET", at(running, "gone", 0), normalise=without_times)

    @pytest.mark.parametrize(
        ("task", "number", "status"),
        [("no_such_task", 1, 404), ("runme_0", 9, 404), ("runme_0", -1, 400)],
    )
    def test_what_does_not_exist_is_refused_as_in_airflow(self, parity, scenario, task, number, status):
        ours, _ = parity("GET", at(scenario.example, task, number))
        assert ours.status_code == status

    def test_the_number_of_a_try_is_a_number(self, rest, scenario):
        # Airflow: 422. With a word in its place there is nothing at the address.
        assert rest.get(at(scenario.example, "runme_0", "x")).status_code in (400, 404)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.example, "runme_0"), role=role)


def without_times(value):
    """What Airflow says in place of a log bears the time at which it is said, where nothing better is known."""
    if isinstance(value, dict) and "content" in value:
        return {**value, "content": [{**message, "timestamp": None} for message in value["content"]]}
    return value
