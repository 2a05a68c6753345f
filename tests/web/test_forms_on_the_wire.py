"""Forms as bytes on a wire, to the server that `airflow-rest-api serve` runs: slow, large, cut off, in chunks."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time

import psutil
import pytest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware

from airflow_rest_api.web import limits, sinks
from tests.web import small
from tests.web.small import Wire, operation
from tests.web.test_forms import BOUNDARY, FORM, HEAD, KIB, MIB, WHOLE, form, part

pytestmark = pytest.mark.slow

POST = ["POST /rest_api/v1/things HTTP/1.1", "Host: test", f"Content-Type: {HEAD['content-type']}"]
CHUNKED = [*POST, "Transfer-Encoding: chunked"]
SOME = MIB + 5


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def length(count):
    return f"Content-Length: {count}"


def behind_airflow(app):
    """The application behind such layers as Airflow's API server puts around what is mounted in it."""

    async def hand_on(request, call_next):
        return await call_next(request)

    return GZipMiddleware(BaseHTTPMiddleware(app, hand_on), minimum_size=1024)


@pytest.fixture
def seen():
    return []


@pytest.fixture
def opened(monkeypatch):
    """The files that were opened for what came in."""
    opened = []
    spooled = sinks.SpooledTemporaryFile
    monkeypatch.setattr(
        sinks, "SpooledTemporaryFile", lambda size: opened.append(spooled(size)) or opened[-1]
    )
    return opened


@pytest.fixture
def application(monkeypatch, metadata_database, seen):
    def make_thing(body):
        upload = body["file"]
        seen.append(sum(len(chunk) for chunk in upload.chunks()))
        return {"size": upload.size}

    further = {"x-body-limit": "max_upload_mib"}
    paths = {"/things": {"post": operation("make_thing", body=FORM, takes="multipart/form-data", **further)}}
    return small.application(monkeypatch, paths, {"make_thing": make_thing}, max_upload_mib=64)


@pytest.fixture
def address(application):
    with small.serving(application) as address:
        yield address


@pytest.fixture
def wire(address):
    with Wire(address) as connection:
        yield connection


def status(wire):
    code, headers, body = wire.answer()
    assert code == 200 or headers["content-type"] == "application/problem+json"
    return code, json.loads(body)


class Waiting:
    """An application whose handler reads the file when it is told to."""

    def __init__(self, monkeypatch):
        self.begun, self.go_on, self.read = threading.Event(), threading.Event(), []
        paths = {"/things": {"post": operation("make_thing", body=FORM, takes="multipart/form-data")}}
        self.application = small.application(monkeypatch, paths, {"make_thing": self.make_thing})

    def make_thing(self, body):
        self.begun.set()
        assert self.go_on.wait(5)
        self.read.append(len(body["file"].read()))
        return {}


@pytest.fixture
def waiting(monkeypatch, metadata_database):
    return Waiting(monkeypatch)


class TestChunks:
    def test_a_form_in_chunks_is_taken(self, wire):
        pieces = [chunk(WHOLE[place : place + 7]) for place in range(0, len(WHOLE), 7)]
        wire.send(*CHUNKED, body=b"".join([*pieces, chunk(b"")]))
        assert status(wire) == (200, {"size": 10})

    def test_an_end_of_chunks_before_the_end_of_the_form_is_refused(self, wire, seen):
        wire.send(*CHUNKED, body=chunk(WHOLE[:-10]) + chunk(b""))
        assert status(wire)[0] == 400
        assert seen == []

    def test_chunks_beyond_the_limit_are_refused(self, wire, seen):
        wire.send(*CHUNKED, body=chunk(part("file", b"", "a")[:-2]))
        block = chunk(b"x" * MIB)
        for _ in range(65):
            wire.socket.sendall(block)
        assert status(wire)[0] == 413
        assert seen == []

    def test_a_connection_serves_one_form_after_another(self, wire):
        for _ in range(3):
            wire.send(*POST, length(len(WHOLE)), body=WHOLE)
            assert status(wire)[0] == 200
            wire.send(*POST, length(len(WHOLE)), body=WHOLE.replace(b'"root"', b'"rott"'))
            assert status(wire)[0] == 400


class TestSize:
    def test_a_length_beyond_the_limit_is_refused_before_anything_is_sent(self, wire):
        wire.send(*POST, length(64 * MIB + 64 * KIB + 1))
        assert status(wire)[0] == 413

    @pytest.mark.timeout(60)
    def test_fifty_mebibytes_do_not_fill_the_memory(self, wire, seen):
        head, tail = part("file", b"", "a")[:-2], b"\r\n" + form(part("root", "r"))
        block, process = b"x" * MIB, psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        wire.send(*POST, length(len(head) + 50 * MIB + len(tail)), body=head)
        most = 0
        for _ in range(50):
            wire.socket.sendall(block)
            most = max(most, process.memory_info().rss - before)
        wire.socket.sendall(tail)
        assert status(wire) == (200, {"size": 50 * MIB})
        assert seen == [50 * MIB]
        most = max(most, process.memory_info().rss - before)
        assert most < 32 * MIB

    def test_others_are_served_while_a_large_form_comes_in(self, address):
        slowest, done = [], threading.Event()

        def ask():
            with Wire(address) as other:
                while not done.is_set():
                    begin = time.monotonic()
                    other.send(*POST, length(len(WHOLE)), body=WHOLE)
                    assert status(other)[0] == 200
                    slowest.append(time.monotonic() - begin)

        asking = threading.Thread(target=ask)
        asking.start()
        head, tail = part("file", b"", "a")[:-2], b"\r\n" + form(part("root", "r"))
        with Wire(address) as wire:
            wire.send(*POST, length(len(head) + 20 * MIB + len(tail)), body=head)
            for _ in range(20):
                wire.socket.sendall(b"\r" * MIB)
            wire.socket.sendall(tail)
            assert status(wire)[0] == 200
        done.set()
        asking.join()
        # 20 MiB that held the others up would let none of them in before the end.
        assert len(slowest) > 3
        assert max(slowest) < 5


class TestPace:
    def test_a_form_that_stops_is_given_up(self, wire, seen, opened, monkeypatch):
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
        wire.send(*POST, length(MIB), body=WHOLE[:-20])
        assert status(wire)[0] == 408
        assert (seen, [file.closed for file in opened]) == ([], [True])

    def test_a_slow_sender_has_the_time_for_each_mebibyte(self, wire, monkeypatch):
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.6)
        monkeypatch.setattr(limits, "PACE_BYTES", 100)
        body = form(part("file", b"x" * 600, "a"), part("root", "r"))
        wire.send(*POST, length(len(body)))
        for place in range(0, len(body), 150):
            time.sleep(0.25)
            wire.socket.sendall(body[place : place + 150])
        assert status(wire) == (200, {"size": 600})

    def test_drops_do_not_keep_a_connection_for_ever(self, wire, monkeypatch):
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
        wire.send(*POST, length(len(WHOLE)))
        begin = time.monotonic()
        for byte in WHOLE[:-1]:
            if time.monotonic() - begin > 1.5:
                break
            wire.socket.sendall(bytes([byte]))
            time.sleep(0.1)
        assert status(wire)[0] == 408


class TestEnds:
    @pytest.mark.parametrize("size", [5, SOME], ids=["in memory", "on the disk"])
    def test_a_client_that_goes_leaves_nothing_behind(self, wire, seen, opened, size):
        body = form(part("file", b"x" * size, "a"), part("root", "r"))
        wire.send(*POST, length(len(body)), body=body[:-20])
        assert small.until(lambda: len(opened) == 1)
        wire.socket.close()
        assert small.until(lambda: opened[0].closed)
        assert seen == []

    @pytest.mark.parametrize("around", [lambda app: app, behind_airflow], ids=["standalone", "mounted"])
    def test_a_handler_keeps_the_file_when_its_client_goes(self, waiting, opened, around):
        with small.serving(around(waiting.application)) as address:
            with Wire(address) as wire:
                wire.send(*POST, length(len(WHOLE)), body=WHOLE)
                assert waiting.begun.wait(5)
            time.sleep(0.1)
            waiting.go_on.set()
            assert small.until(lambda: waiting.read == [10])
            assert small.until(lambda: opened[0].closed)

    def test_a_handler_keeps_the_file_when_its_request_is_cancelled(self, waiting, opened):
        async def cancel():
            messages = iter([{"type": "http.request", "body": WHOLE, "more_body": False}])
            scope = {"type": "http", "http_version": "1.1", "method": "POST", "query_string": b""}
            head = [
                (b"content-type", HEAD["content-type"].encode()),
                (b"content-length", b"%d" % len(WHOLE)),
            ]
            scope |= {"path": "/rest_api/v1/things", "root_path": "", "headers": head}

            async def receive():
                return next(messages)

            task = asyncio.ensure_future(waiting.application(scope, receive, send=None))
            await asyncio.to_thread(waiting.begun.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        waiting.go_on.set()
        assert small.until(lambda: waiting.read == [10])
        assert small.until(lambda: opened[0].closed)

    def test_a_client_that_goes_leaves_nothing_behind_in_airflow_either(self, application, seen, opened):
        with small.serving(behind_airflow(application)) as address:
            with Wire(address) as wire:
                wire.send(*POST, length(len(WHOLE)), body=WHOLE[:-20])
                assert small.until(lambda: len(opened) == 1)
            assert small.until(lambda: opened[0].closed)
            with Wire(address) as wire:
                wire.send(*CHUNKED, body=chunk(WHOLE) + chunk(b""))
                assert status(wire)[0] == 200
        assert seen == [10]

    def test_a_boundary_at_every_place_between_two_reads_is_seen(self, wire):
        """Of a file with many near-boundaries, sent in two pieces cut around the true one."""
        content = f"\r\n--{BOUNDARY[:-1]}".encode() * 3
        body = form(part("file", content, "a"), part("root", "r"))
        last = body.index(f"\r\n--{BOUNDARY}\r\n".encode(), 10)
        for cut in range(last, last + len(BOUNDARY) + 8, 3):
            wire.send(*POST, length(len(body)), body=body[:cut])
            time.sleep(0.02)
            wire.socket.sendall(body[cut:])
            assert status(wire) == (200, {"size": len(content)})
