"""The bridge: who runs a handler, in which thread, and how an answer is streamed."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from airflow_rest_api.services import errors
from airflow_rest_api.web import bridge, exchange
from airflow_rest_api.web.bridge import Bridge, Workers
from tests.web import small
from tests.web.small import Wire, operation

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/a",
    "query_string": b"",
    "headers": [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-type", b"text/plain"), (b"content-length", b"9")],
}
TEXT = {
    "/stream": {"get": operation("get_stream", answer={"type": "string"}, media_type="application/x-ndjson")}
}


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class Parts:
    """A stream whose end and closing can be seen."""

    def __init__(self, parts):
        self.parts = iter(parts)
        self.closed = []

    def __iter__(self):
        return self

    def __next__(self):
        part = next(self.parts)
        if isinstance(part, Exception):
            raise part
        return part

    def close(self):
        self.closed.append(threading.current_thread().name)


class TestWorkers:
    def test_handlers_run_in_the_services_own_threads_and_never_more_than_set(self, build):
        names, running, most = set(), [], []

        def get_thread():
            running.append(1)
            most.append(len(running))
            names.add(threading.current_thread().name)
            time.sleep(0.05)
            running.pop()
            return {}

        client = build(
            {"/thread": {"get": operation("get_thread")}}, {"get_thread": get_thread}, worker_threads=3
        )
        with ThreadPoolExecutor(12) as callers:
            statuses = [
                answer.status_code for answer in callers.map(lambda _: client.get("thread"), range(24))
            ]
        assert set(statuses) == {200}
        assert all(name.startswith("rest-api") for name in names)
        assert (len(names), max(most)) == (3, 3)

    def test_one_hand_over_is_all_that_a_request_needs(self, rest, monkeypatch):
        handed = []
        run = Workers.run
        monkeypatch.setattr(
            Workers,
            "run",
            lambda self, function, *rest: handed.append(function.__name__) or run(self, function, *rest),
        )
        for _ in range(3):
            assert rest.get("/dags", params={"limit": 1}).status_code == 200
        assert handed.count("_run") == 3
        assert handed.count("identify") <= 1  # the credential is remembered after the first request
        handed.clear()
        assert rest.get("/health/live", role=None).status_code == 200
        assert handed == []

    def test_context_variables_reach_the_worker(self):
        variable = contextvars.ContextVar("variable", default="lost")

        async def ask():
            variable.set("kept")
            return await Workers(1).run(variable.get)

        assert asyncio.run(ask()) == "kept"

    def test_no_more_than_a_bounded_number_waits(self):
        going_on = threading.Event()

        def get_late():
            assert going_on.wait(10)
            return {}

        workers = Workers(1, most_waiting=2)

        async def ask():
            waiting = [asyncio.ensure_future(workers.run(get_late)) for _ in range(3)]
            await asyncio.sleep(0.1)
            with pytest.raises(bridge.Overloaded) as refusal:
                await workers.run(get_late)
            going_on.set()
            return refusal.value.retry_after, await asyncio.gather(*waiting), await workers.run(get_late)

        assert asyncio.run(ask()) == (1, [{}, {}, {}], {})

    def test_what_the_handler_raises_comes_back(self):
        def fail():
            raise errors.Malformed("No.")

        with pytest.raises(errors.Malformed):
            asyncio.run(Workers(1).run(fail))


class TestRequests:
    def call(self, application, scope=None, messages=None, **options):
        received = iter(
            messages or [{"type": "http.request", "body": b"ab", "more_body": True}, {"body": b"c"}]
        )
        sent = []
        scope = {**SCOPE, **(scope or {})}
        exchange.begin(scope, {})

        async def receive():
            message = next(received, None)
            if message is None:
                await asyncio.sleep(60)
            return {"type": "http.request", **message}

        async def send(message):
            sent.append(message)

        asyncio.run(Bridge(application, Workers(2), **options)(scope, receive, send))
        return sent

    def test_the_environment_of_wsgi_is_complete(self):
        seen = {}

        def application(environ, start_response):
            seen.update(environ)
            seen["body"] = environ["wsgi.input"].read()
            start_response("201 Created", [("Content-Length", "2"), ("X-Thing", "ä")])
            return [b"o", b"k"]

        scope = {
            "root_path": "/räst",
            "path": "/räst/a",
            "query_string": b"b=\xe4",
            "client": ("10.0.0.1", 7),
        }
        start, body = self.call(application, {**scope, "server": ("host", None), "scheme": "https"})
        assert start == {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-length", b"2"), (b"x-thing", b"\xe4")],
        }
        assert body == {"type": "http.response.body", "body": b"ok"}
        assert seen["body"] == b"abc"
        expected = {
            "SCRIPT_NAME": "/räst".encode().decode("latin-1"),
            "PATH_INFO": "/a",
            "QUERY_STRING": "b=ä",
            "REMOTE_ADDR": "10.0.0.1",
            "SERVER_NAME": "host",
            "SERVER_PORT": "0",
            "HTTP_X_A": "1,2",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "3",
            "wsgi.url_scheme": "https",
        }
        assert {name: seen[name] for name in expected} == expected

    def test_what_is_answered_whole_is_closed_in_the_worker(self):
        parts = Parts([b"ok"])

        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "2")])
            return parts

        self.call(application)
        assert parts.closed
        assert parts.closed[0].startswith("rest-api")

    def test_an_operation_that_never_waits_runs_on_the_loop(self):
        names = []

        def application(environ, start_response):
            names.append(threading.current_thread().name)
            start_response("200 OK", [("Content-Length", "0")])
            return []

        scope = dict(SCOPE)
        exchange.begin(scope, {}).operation_id = "quick"

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            pass

        asyncio.run(Bridge(application, Workers(1), frozenset({"quick"}))(scope, receive, send))
        assert names == [threading.current_thread().name]

    def test_flask_writes_its_complaints_as_text(self, build):
        def complain():
            print("a complaint", file=flask.request.environ["wsgi.errors"])
            return {}

        client = build({"/complain": {"get": operation("complain")}}, {"complain": complain})
        assert client.get("complain").status_code == 200


class TestStreams:
    @pytest.fixture
    def streaming(self, monkeypatch, metadata_database):
        def start(parts):
            return small.application(monkeypatch, TEXT, {"get_stream": lambda: parts})

        return start

    def test_every_part_is_sent_when_it_is_there(self, streaming):
        ready = threading.Event()

        def parts():
            yield b'{"part": 1}\n'
            assert ready.wait(5)
            yield b'{"part": 2}\n'

        with small.serving(streaming(parts())) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test")
            status, headers, body = wire.answer()
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert headers["content-type"] == "application/x-ndjson"
            while b"1}" not in body:
                body += wire.socket.recv(1000)
            assert b'"part": 2' not in body
            ready.set()
            while not body.endswith(b"0\r\n\r\n"):
                body += wire.socket.recv(1000)
            assert b'"part": 2' in body

    def test_a_stream_is_closed_when_it_has_ended(self, streaming):
        parts = Parts([b"1", b"", b"2"])
        with small.serving(streaming(parts)) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test", "Connection: close")
            body = b""
            while received := wire.socket.recv(1000):
                body += received
        assert body.endswith(b"1\r\n1\r\n1\r\n2\r\n0\r\n\r\n")
        assert until(lambda: len(parts.closed) == 1)

    def test_a_stream_without_end_ends_when_its_client_goes(self, streaming):
        sent = []

        def forever():
            while True:
                sent.append(1)
                time.sleep(0.01)
                yield b"x" * 100

        parts = Parts(forever())
        with small.serving(streaming(parts)) as address:
            with Wire(address) as wire:
                wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test")
                assert wire.answer()[0] == 200
            assert until(lambda: len(parts.closed) == 1)
            count = len(sent)
            time.sleep(0.1)
            assert len(sent) == count

    def test_a_fault_in_the_middle_breaks_the_answer_off(self, streaming, caplog):
        parts = Parts([b"1", RuntimeError("secret")])
        caplog.set_level(logging.CRITICAL)
        with small.serving(streaming(parts)) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test")
            body = b""
            while received := wire.socket.recv(1000):
                body += received
        assert not body.endswith(b"0\r\n\r\n")
        assert b"secret" not in body
        assert until(lambda: len(parts.closed) == 1)

    def test_a_refusal_before_the_first_part_is_answered_as_such(self, streaming):
        parts = Parts([errors.DagNotFound("etl")])
        with small.serving(streaming(parts)) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test")
            status, _, body = wire.answer()
        assert (status, json.loads(body)["dag_id"]) == (404, "etl")
        assert until(lambda: len(parts.closed) == 1)

    def test_an_empty_stream_is_an_answer(self, streaming):
        with small.serving(streaming(Parts([]))) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/stream HTTP/1.1", "Host: test")
            assert wire.answer()[0] == 200

    def test_a_cancelled_stream_is_closed_after_its_step(self):
        begun = threading.Event()

        def slow():
            begun.set()
            time.sleep(0.2)
            yield b"1"

        parts = Parts(slow())
        exchange_scope = dict(SCOPE)
        exchange.begin(exchange_scope, {})

        def application(environ, start_response):
            start_response("200 OK", [])
            return parts

        messages = iter([{"type": "http.request"}])

        async def receive():
            return next(messages, None) or await asyncio.sleep(60)

        async def send(message):
            pass

        async def cancel():
            task = asyncio.ensure_future(Bridge(application, Workers(2))(exchange_scope, receive, send))
            assert await asyncio.to_thread(begun.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert parts.closed == []
            await asyncio.sleep(0.4)

        asyncio.run(cancel())
        assert len(parts.closed) == 1
