"""Component: `get_component_log`, of components that say what a test says."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import httpx
import pytest

from airflow_rest_api.services import configuration, sources
from airflow_rest_api.services.components import component_log, places
from airflow_rest_api.supervision.registry import Order
from airflow_rest_api.web import following
from tests.conftest import application, in_process
from tests.support import clients, component_processes
from tests.support.lines import Lines
from tests.web import small

pytestmark = [
    pytest.mark.slow,
    pytest.mark.in_process,
    pytest.mark.usefixtures("restored_database"),
    pytest.mark.timeout(120),
]
LOG, KEY = "/components/triggerer/log", ("triggerer", None)
NDJSON = {"Accept": "application/x-ndjson"}
SECRET = "the key/of+this ‘component’ 42"
Spoken = namedtuple("Spoken", "say end")


@pytest.fixture(scope="module")
def able(token):
    """A client of a service whose administrator has named a component, and whose key is `SECRET`."""
    variables = {
        "AIRFLOW__REST_API__COMPONENTS_ENABLED": "triggerer",
        "AIRFLOW__API__SECRET_KEY": SECRET,
    }
    with mock.patch.dict(os.environ, variables):
        built = application()
    with in_process(built) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture
def started(tmp_path):
    """`started(log_bytes=…)`: a component that runs; `say` makes it write, `end` makes it end."""
    pipes = []

    def start(**sizes):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        order = {"log_bytes": 1 << 20, "log_files": 2, **sizes}
        # It says all that it is sent, and ends when nobody can send it anything more.
        places.registry().start(Order(*KEY, ("/bin/cat", str(path)), dict(os.environ), **order))
        pipes.append(path.open("w", newline=""))

        def say(text, *, wait=True):
            before = end_of_log()
            pipes[-1].write(text)
            pipes[-1].flush()
            wait_for(lambda: not wait or end_of_log() == before + len(text.encode()))

        def end():
            pipes[-1].close()
            wait_for(lambda: places.registry().find(*KEY).state == "exited")
            path.unlink()

        return Spoken(say, end)

    yield start
    for pipe in pipes:
        pipe.close()
    component_processes.stop_all()
    shutil.rmtree(configuration.state_folder() / "components", ignore_errors=True)


def end_of_log():
    return places.registry().read_log(*KEY, offset=1 << 60).end


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.fixture
def follow(able, token, monkeypatch):
    """`with follow(tail=3) as lines`: the lines as they come."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.1)

    @contextmanager
    def opened(**params):
        headers = {**NDJSON, "Authorization": f"Bearer {token('admin')}"}
        wishes = {"params": {"follow": True, **params}, "headers": headers, "timeout": 30}
        with (
            small.serving(able.http.app) as (host, port),
            httpx.stream("GET", f"http://{host}:{port}/rest_api/v1{LOG}", **wishes) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            yield Lines(answer)

    return opened


class TestGetComponentLog:
    def test_it_answers_the_last_lines_as_text_or_as_messages(self, able, started):
        spoken = started()
        spoken.say("one\n\ntwo \N{SNOWMAN}\r\nthree\n")
        answer = able.get(LOG)
        assert (answer.text, answer.headers["content-type"]) == (
            "one\n\ntwo \N{SNOWMAN}\r\nthree\n",
            "text/plain; charset=utf-8",
        )
        assert able.get(LOG, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
        assert able.get(LOG, params={"tail": 2}).text == "two \N{SNOWMAN}\r\nthree\n"
        assert able.get(LOG, params={"tail": 0}).text == ""
        answer = able.get(LOG, params={"tail": 2}, headers=NDJSON)
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in answer.text.splitlines()] == [
            {"timestamp": None, "event": "two \N{SNOWMAN}"},
            {"timestamp": None, "event": "three"},
        ]

    def test_a_line_is_answered_when_it_is_whole_or_will_never_be(self, able, started):
        spoken = started()
        spoken.say("one\ntwo\nhalf")
        assert able.get(LOG, params={"tail": 1}).text == "two\n"
        spoken.end()
        assert able.get(LOG, params={"tail": 2}).text == "two\nhalf"

    def test_no_line_is_answered_from_its_middle_on(self, able, started, monkeypatch):
        monkeypatch.setattr(component_log, "MOST_BYTES", 60)
        spoken = started(log_bytes=50)
        spoken.say("begin of a long line, " * 12 + "its end\nnext\n")
        assert able.get(LOG).text == "next\n"
        spoken.say("x" * 70)
        spoken.end()
        assert able.get(LOG).text == ""

    def test_secrets_of_the_installation_are_taken_out(self, able, started, follow):
        spoken = started()
        spoken.say(f"key={SECRET}\n")
        assert able.get(LOG).text == "key=***\n"
        assert able.get(LOG, headers=NDJSON).text == '{"timestamp":null,"event":"key=***"}\n'
        spoken.end()
        with follow() as lines:
            assert lines.rest() == ["key=***"]

    def test_it_is_refused_to_most(self, rest, able, started):
        started().say("one\n")
        assert kind(rest.get(LOG)) == (403, "switch-off")
        for role in ("op", "viewer", "nobody"):
            assert able.get(LOG, role=role).status_code == 403
        assert able.get(LOG, role=None).status_code == 401
        assert kind(able.get("/components/kerberos/log")) == (403, "component-not-enabled")

    def test_what_was_never_started_has_no_log(self, able):
        for follows in ("true", "false"):
            answer = able.get(LOG, params={"instance": "second", "follow": follows})
            assert kind(answer) == (404, "component-never-started")
            assert "'second'" in answer.json()["detail"]
        assert kind(able.get("/components/webserver/log")) == (404, "component-not-found")

    @pytest.mark.parametrize(
        "params", [{"tail": -1}, {"tail": 10_001}, {"tail": "x"}, {"instance": "../x"}, {"follow": "maybe"}]
    )
    def test_wishes_are_bounded(self, able, params):
        assert kind(able.get(LOG, params=params)) == (400, "malformed")

    def test_who_follows_takes_lines_of_json(self, able, started):
        started()
        answer = able.get(LOG, params={"follow": True}, headers={"Accept": "text/plain"})
        assert kind(answer) == (406, "not-acceptable")


class TestFollowComponentLog:
    def test_lines_come_as_they_are_written_until_the_component_ends(self, started, follow):
        spoken = started()
        spoken.say("zero\none\nhal")
        with follow(tail=1) as lines:
            assert lines.answer.headers["content-type"].startswith("application/x-ndjson")
            assert lines.next() == "one"
            spoken.say("f\n")
            assert lines.next() == "half"
            spoken.say("two\nthree")
            assert lines.next() == "two"
            spoken.end()
            assert lines.rest() == ["three"]

    def test_it_goes_on_over_the_files_of_the_log(self, started, follow):
        spoken = started(log_bytes=40, log_files=50)
        told = [f"line {number} of many" for number in range(60)]
        with follow(tail=0) as lines:
            for line in told:
                spoken.say(f"{line}\n", wait=False)
            assert [lines.next() for _ in told] == told
            spoken.end()
            assert lines.rest() == []

    def test_what_is_gone_before_it_was_read_is_told(self, started):
        spoken = started(log_bytes=20, log_files=2)
        spoken.say("the first\n")
        source = component_log.ComponentLogSource(KEY, 10)
        assert events(source.take()) == ["the first"]
        spoken.say("of these lines some\nare gone by the time\nthat they are\nread\n")
        first, *rest = events(source.take())
        assert first.endswith(" bytes of the log have been removed meanwhile.)")
        assert rest[-1] == "read"
        assert all(line in ("that they are", "read") for line in rest)

    def test_a_line_without_end_is_left_out(self, started, monkeypatch):
        monkeypatch.setattr(component_log, "LONGEST_LINE_BYTES", 100)
        spoken = started()
        spoken.say("one\n")
        source = component_log.ComponentLogSource(KEY, 10)
        spoken.say("x" * 150)
        assert [line[:12] for line in events(source.take())] == ["one", "(A line of m"]
        spoken.say("x" * 150)
        assert events(source.take()) == []
        spoken.say("x\ntwo\n")
        assert events(source.take()) == ["two"]

    def test_a_look_wakes_who_has_something(self, started):
        spoken = started()
        spoken.say("one\n")
        source, other = (component_log.ComponentLogSource(KEY, lines) for lines in (1, 0))
        for one in (source, other):
            one.take()
        assert sources.look([source, other]) == []
        spoken.say("two\n")
        assert sources.look([source, other]) == [source, other]
        assert events(source.take()) == ["two"]
        assert sources.look([source, other]) == [other]
        spoken.end()
        assert sources.look([source, other]) == [source, other]
        taken = [source.take(), source.take()]
        assert [piece.is_last for piece in taken] == [False, True]

    def test_it_ends_when_the_log_is_removed(self, started):
        spoken = started()
        spoken.say("one\n")
        source = component_log.ComponentLogSource(KEY, 1)
        spoken.end()
        shutil.rmtree(Path(configuration.state_folder()) / "components")
        pieces = [source.take() for _ in range(3)]
        assert [piece.is_last for piece in pieces] == [False, False, True]
        assert events(pieces[0]) == ["one"]


def events(piece):
    return [json.loads(line)["event"] for line in piece.content.splitlines()]
