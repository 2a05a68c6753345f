"""TaskInstance: `get_log?follow=true`, on a real server, with a task that writes when a test says so."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone

import httpx
import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import delete, update
from uuid6 import uuid7

from airflow_rest_api.services import errors
from airflow_rest_api.services.task_instances import log_following, log_pieces
from airflow_rest_api.web import following
from tests.support.lines import Lines
from tests.web import small

pytestmark = [
    pytest.mark.slow,
    pytest.mark.in_process,
    pytest.mark.usefixtures("restored_database"),
    pytest.mark.timeout(120),
]
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(log_following, "QUIET_SECONDS", 0.5)


@pytest.fixture
def url(rest):
    with small.serving(rest.http.app) as (host, port):
        yield f"http://{host}:{port}/rest_api/v1"


class Task:
    """A task that runs nowhere: its state and its log are what a test makes of them."""

    def __init__(self, run, home, name="first"):
        self.run, self.name = run, name
        self.folder = home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.dag_run_id}" / f"task_id={name}"
        self.path = f"{run.path}/taskInstances/{name}/logs"

    def alter(self, **values):
        with create_session(scoped=False) as session:
            chosen = (TaskInstance.run_id == self.run.dag_run_id, TaskInstance.task_id == self.name)
            session.execute(update(TaskInstance).where(*chosen).values(**values))

    def end(self, state="success", **values):
        self.alter(state=state, end_date=datetime.now(timezone.utc), **values)

    def write(self, *lines, number=1, suffix=""):
        self.raw("".join(message(line) + "\n" for line in lines), number, suffix)

    def raw(self, text, number=1, suffix=""):
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"attempt={number}.log{suffix}").open("a") as log:
            log.write(text)


def message(event):
    return json.dumps({"timestamp": "2026-02-01T00:00:00Z", "event": event})


@pytest.fixture
def task(new_run, home):
    run = new_run("manual", state="running", task_states={"first": "running"})
    found = Task(run, home)
    found.alter(hostname="", pid=None)
    return found


@pytest.fixture
def follow(url, token):
    """`with follow(task) as lines`: the lines as they come, without the blank ones; `lines.seen` are the events."""

    @contextmanager
    def opened(task, number=1, role="admin", **params):
        headers = {**LINES, "Authorization": f"Bearer {token(role)}"}
        address = f"{url}{task.path}/{number}"
        with httpx.stream(
            "GET", address, params={"follow": True, **params}, headers=headers, timeout=30
        ) as answer:
            assert answer.status_code == 200, answer.read()
            yield Lines(answer)

    return opened


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestFollowLog:
    def test_lines_come_as_they_are_written_and_the_last_one_ends_it(self, task, follow):
        task.write("one")
        with follow(task) as lines:
            assert lines.answer.headers["content-type"].startswith("application/x-ndjson")
            assert lines.until("one")[0] == "::group::Log message source details"
            task.write("two")
            assert lines.next() == "two"
            task.write("three", "four")
            assert [lines.next(), lines.next()] == ["three", "four"]
            task.end()
            assert lines.rest() == []

    def test_in_the_end_it_is_what_the_log_is(self, task, follow, rest):
        task.write("one", "two", "two")
        task.raw("[2026-02-01T00:00:01.000+0000] {file.py:1} INFO - plain\nno date\n\n")
        task.raw(json.dumps({"event": "x", "level": "info", "n": 1}))
        with follow(task) as lines:
            lines.until("one")
            task.end()
            got = lines.rest()
        whole = rest.get(f"{task.path}/1", headers=LINES).text.splitlines()
        assert got == [json.loads(line)["event"] for line in whole][4:]

    def test_the_lines_of_a_try_that_has_ended_are_those_of_the_log(self, url, token, rest, scenario):
        run, name = scenario.failed, scenario.retried_task
        headers = {**LINES, "Authorization": f"Bearer {token('viewer')}"}
        for number in (1, 2, 3):
            path = f"{run.path}/taskInstances/{name}/logs/{number}"
            begin = time.monotonic()
            got = httpx.get(f"{url}{path}", params={"follow": True}, headers=headers, timeout=30)
            assert time.monotonic() - begin < 20
            assert got.text == rest.get(path, headers=LINES).text

    def test_what_is_said_after_the_state_is_known_is_told(self, task, follow):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            task.end()
            time.sleep(0.3)
            task.write("a callback")
            assert lines.rest() == ["a callback"]

    def test_it_lasts_as_long_as_the_process(self, task, follow):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            task.end(pid=os.getpid())
            time.sleep(1.5)
            task.write("killed only now")
            assert lines.next() == "killed only now"
            task.alter(pid=None)
            assert lines.rest() == []

    def test_a_try_that_has_not_begun_is_waited_for(self, new_run, home, follow):
        task = Task(new_run("manual", state="running"), home)
        with follow(task) as lines:
            for state in ("scheduled", "queued", "running"):
                time.sleep(0.3)
                task.alter(state=state, try_number=1)
            task.write("at last")
            assert lines.until("at last")
            task.end()
            assert lines.rest() == []

    @pytest.mark.parametrize("state", ["skipped", "upstream_failed", "removed"])
    def test_a_try_that_never_begins_has_no_lines(self, new_run, home, follow, state):
        task = Task(new_run("manual", state="running"), home)
        with follow(task) as lines:
            time.sleep(0.3)
            task.end(state)
            assert lines.rest() == []

    def test_a_run_that_ends_without_the_try_ends_it(self, new_run, home, follow):
        task = Task(new_run("manual", state="running"), home)
        with follow(task) as lines:
            with create_session(scoped=False) as session:
                session.execute(
                    update(DagRun).where(DagRun.run_id == task.run.dag_run_id).values(state="failed")
                )
            assert lines.rest() == []

    @pytest.mark.parametrize(
        "values",
        [
            {"state": "up_for_retry"},
            {"state": None, "id": "new"},
            {"state": "running", "try_number": 2, "id": "new"},
            {"state": "failed"},
        ],
        ids=["retry", "cleared", "next try", "killed"],
    )
    def test_a_try_that_is_followed_by_another_has_ended(self, task, follow, values):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            task.write("last words")
            task.alter(**{**values, **({"id": uuid7()} if "id" in values else {})})
            task.write("of the next", number=2)
            assert lines.rest() == ["last words"]

    def test_a_task_instance_that_is_deleted_ends_it(self, task, follow):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            with create_session(scoped=False) as session:
                session.execute(delete(TaskInstance).where(TaskInstance.run_id == task.run.dag_run_id))
            assert lines.rest() == []

    def test_a_task_that_is_deferred_goes_on_in_the_same_try(self, task, follow):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            task.alter(state="deferred")
            task.write("the trigger", suffix=".trigger.7.log")
            assert lines.next() == "the trigger"
            for state in ("scheduled", "queued", "running"):
                task.alter(state=state)
                time.sleep(0.2)
            task.write("resumed")
            assert lines.next() == "resumed"
            task.end()
            assert lines.rest() == []

    def test_a_line_is_told_when_it_is_whole_and_a_huge_one_in_parts(self, task, follow, monkeypatch):
        monkeypatch.setattr(log_pieces, "PIECE_BYTES", 1000)
        monkeypatch.setattr(log_pieces, "LONGEST_LINE_BYTES", 5000)
        whole = message("two")
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            task.raw(whole[:10])
            time.sleep(0.4)
            task.raw(whole[10:] + "\n")
            assert lines.next() == "two"
            task.raw("x" * 20_000 + "\n")
            task.end()
            assert "".join(lines.rest()) == "x" * 20_000

    def test_a_log_that_begins_anew_is_read_anew(self, task, follow):
        task.write("one", "two")
        with follow(task) as lines:
            lines.until("two")
            (task.folder / "attempt=1.log").write_text(message("rewritten") + "\n")
            assert lines.next() == "rewritten"

    def test_a_token_says_where_to_begin(self, task, follow, rest):
        task.write("one", "two")
        first = rest.get(f"{task.path}/1").json()["continuation_token"]
        task.write("three")
        with follow(task, token=first) as lines:
            assert lines.next() == "three"
            task.end()
            assert lines.rest() == []

    def test_a_try_on_another_host_is_asked_for_there(self, task, follow, monkeypatch):
        from airflow.utils.log import file_task_handler

        monkeypatch.setattr(log_pieces, "ELSEWHERE_SECONDS", 0.2)
        monkeypatch.setattr(log_following, "QUIET_ELSEWHERE_SECONDS", 0.7)
        said = ["one"]
        monkeypatch.setattr(
            file_task_handler.FileTaskHandler,
            "_read_from_logs_server",
            lambda *_: (["http://elsewhere"], [iter([message(event) for event in said])]),
        )
        task.alter(hostname="elsewhere")
        with follow(task) as lines:
            assert "http://elsewhere" in lines.until("one")
            said.append("two")
            assert lines.next() == "two"
            said.append("three")
            task.end()
            assert lines.rest() == ["three"]

    def test_in_a_silence_blank_lines_are_sent(self, task, follow, monkeypatch):
        monkeypatch.setattr(following, "SILENCE_SECONDS", 0.2)
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            threading.Timer(1.5, lambda: task.write("two")).start()
            assert lines.next() == "two"
            assert lines.blank >= 3
            task.end()

    def test_only_the_head_can_be_asked_for(self, url, token, task):
        headers = {**LINES, "Authorization": f"Bearer {token('admin')}"}
        answer = httpx.head(f"{url}{task.path}/1", params={"follow": True}, headers=headers, timeout=10)
        assert (answer.status_code, answer.text) == (200, "")

    def test_secrets_are_taken_out(self, task, follow, home):
        from tests.support import canaries

        secret = next(iter(canaries.planted().values()))
        task.write(f"the key is {secret}")
        with follow(task) as lines:
            task.end()
            text = "".join(lines.rest())
        assert "the key is" in text
        assert secret not in text


class TestRefusals:
    @pytest.mark.parametrize("accept", ["application/json", "text/html"])
    def test_who_takes_no_lines_cannot_follow(self, rest, task, accept):
        answer = rest.get(f"{task.path}/1", params={"follow": True}, headers={"Accept": accept})
        assert answer.status_code == 406

    @pytest.mark.parametrize("accept", ["*/*", "application/*", "application/x-ndjson;q=0.1, text/html"])
    def test_who_takes_them_can(self, rest, task, accept):
        task.write("one")
        task.end()
        answer = rest.get(f"{task.path}/1", params={"follow": True}, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (
            200,
            "application/x-ndjson",
        )

    @pytest.mark.parametrize(
        ("name", "number", "status"),
        [("first", 3, 404), ("first", 0, 404), ("no_such_task", 1, 404), ("first", -1, 400)],
    )
    def test_a_try_that_nobody_knows(self, rest, task, name, number, status):
        path = f"{task.run.path}/taskInstances/{name}/logs/{number}"
        assert rest.get(path, params={"follow": True}, headers=LINES).status_code == status

    def test_a_try_that_will_never_come(self, rest, task):
        task.end()
        assert rest.get(f"{task.path}/2", params={"follow": True}, headers=LINES).status_code == 404

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403)])
    def test_who_may_not(self, rest, task, role, status):
        answer = rest.get(f"{task.path}/1", params={"follow": True}, headers=LINES, role=role)
        assert answer.status_code == status

    @pytest.mark.parametrize("query", [{"follow": "x"}, {"follow": True, "token": "x"}])
    def test_what_makes_no_sense(self, rest, task, query):
        assert rest.get(f"{task.path}/1", params=query, headers=LINES).status_code == 400

    def test_who_may_no_more_is_cut_off(self, task, follow, monkeypatch):
        from airflow_rest_api.security import access

        monkeypatch.setattr(following, "CHECK_SECONDS", 0.2)
        task.write("one")
        with follow(task) as lines:
            lines.until("one")

            def denied(*_):
                raise errors.Denied("The role was taken away.")

            monkeypatch.setattr(access, "require", denied)
            task.write("secret")
            told = lines.until_cut_off()
            assert told[-1].startswith("You may not read this log any more")

    def test_there_are_only_so_many_followers(self, task, follow, url, token, monkeypatch):
        monkeypatch.setattr(following, "MOST_FOLLOWERS", 1)
        task.write("one")
        headers = {**LINES, "Authorization": f"Bearer {token('admin')}"}
        with follow(task) as lines:
            lines.until("one")
            answer = httpx.get(f"{url}{task.path}/1", params={"follow": True}, headers=headers, timeout=10)
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        wait_for(lambda: can_follow(follow, task))


def can_follow(follow, task):
    try:
        with follow(task) as lines:
            return bool(lines.until("one"))
    except AssertionError:
        return False


class TestManyFollowers:
    def test_200_followers_and_nobody_else_waits(self, url, token, task, rest):
        headers = {**LINES, "Authorization": f"Bearer {token('admin')}"}
        address, opened, got = f"{url}{task.path}/1", threading.Semaphore(0), []
        task.write("one")

        def one():
            with crowd.stream("GET", address, params={"follow": True}) as answer:
                lines = Lines(answer)
                lines.until("one")
                opened.release()
                got.append(lines.rest())

        limits = httpx.Limits(max_connections=None)
        with (
            httpx.Client(headers=headers, timeout=60, limits=limits) as crowd,
            ThreadPoolExecutor(200) as pool,
        ):
            followers = [pool.submit(one) for _ in range(200)]
            for _ in range(200):
                assert opened.acquire(timeout=60)
            times = []
            with httpx.Client(headers=headers, timeout=30) as client:
                for path in ("/version", "/dags?limit=1") * 10:
                    begin = time.monotonic()
                    assert client.get(f"{url}{path}").status_code in (200, 406)
                    times.append(time.monotonic() - begin)
            task.write("two")
            task.end()
            for follower in followers:
                follower.result(timeout=60)
        assert got == [["two"]] * 200
        assert sorted(times)[-2] < 1.0

    def test_who_has_gone_is_followed_no_more(self, task, follow, monkeypatch):
        closed = []

        def close(source):
            closed.append(source)

        monkeypatch.setattr(log_following.LogSource, "close", close)
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            assert not closed
        wait_for(lambda: closed)

    def test_a_slow_reader_makes_the_source_wait(self, task, follow, monkeypatch):
        taken = []
        known = log_following.LogSource.take

        def counted(self):
            taken.append(1)
            return known(self)

        monkeypatch.setattr(log_following.LogSource, "take", counted)
        task.raw(
            "".join(
                message("x" * 1000).replace("2026-02-01", f"20{n % 90 + 10}-02-01") + "\n"
                for n in range(24_000)
            )
        )
        with follow(task) as lines:
            lines.next()
            time.sleep(2)
            before = len(taken)
            time.sleep(1)
            # 25 MB are 190 pieces; buffers of sockets hold some of them.
            assert len(taken) == before < 150
            task.end()
            assert len(lines.rest()) > 23_000

    def test_a_server_that_stops_tells_its_followers(self, task, follow, monkeypatch):
        task.write("one")
        with follow(task) as lines:
            lines.until("one")
            monkeypatch.setattr(following, "is_stopping", lambda: True)
            told = lines.until_cut_off()
            assert told == ["The server stops; the log may go on."]
