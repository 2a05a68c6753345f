"""Requests as bytes on a wire, to the server that `airflow-rest-api serve` runs."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest

from airflow_rest_api.web import limits, unread_bodies
from airflow_rest_api.web import wire as server_wire
from tests.support.headers import wrong
from tests.web import small
from tests.web.small import Wire, operation, parameter

pytestmark = pytest.mark.slow

KIB = 1024
POST = ["POST /rest_api/v1/things HTTP/1.1", "Host: test", "Content-Type: application/json"]
CHUNKED = [*POST, "Transfer-Encoding: chunked"]


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.fixture
def seen():
    return []


@pytest.fixture
def wire(monkeypatch, metadata_database, seen):
    def make_thing(body):
        seen.append(body)
        return {"got": body}

    paths = {
        "/things": {
            "get": operation("get_things", parameters=[parameter("name", maxLength=10, type="string")]),
            "post": operation("make_thing", body={"type": "object"}, required=False),
        }
    }
    handlers = {"make_thing": make_thing, "get_things": lambda name: {"name": name}}
    app = small.application(monkeypatch, paths, handlers, max_body_kib=64)
    with small.serving(app) as address, Wire(address) as connection:
        yield connection


def refused(wire, status):
    code, headers, body = wire.answer()
    assert code == status, body
    assert headers["content-type"] == "application/problem+json"
    assert wrong(headers) == []
    document = json.loads(body)
    assert document["status"] == status
    return document


class TestBodies:
    def test_a_chunked_body_is_taken(self, wire):
        wire.send(*CHUNKED, body=chunk(b'{"a"') + chunk(b": 1}") + chunk(b""))
        assert json.loads(wire.answer()[2]) == {"got": {"a": 1}}

    def test_an_empty_chunked_body_counts_as_absent(self, wire):
        wire.send(*CHUNKED, body=chunk(b""))
        assert json.loads(wire.answer()[2]) == {"got": {}}

    def test_a_chunked_body_that_is_too_large_is_refused_before_its_end(self, wire, seen):
        wire.send(*CHUNKED, body=chunk(b" " * 40 * KIB) + chunk(b" " * 40 * KIB))
        assert refused(wire, 413)["type"].endswith(":content-too-large")
        assert seen == []

    def test_a_length_that_is_too_large_is_refused_before_anything_is_sent(self, wire, seen):
        wire.send(*POST, "Content-Length: 65537")
        assert "65536 bytes" in refused(wire, 413)["detail"]
        assert seen == []

    def test_who_asks_whether_to_continue_is_told_no(self, wire):
        wire.send(*POST, "Content-Length: 99999999", "Expect: 100-continue")
        refused(wire, 413)

    def test_a_body_of_the_largest_size_is_taken(self, wire):
        body = json.dumps({"a": "x" * (64 * KIB - 9)}).encode()
        assert len(body) == 64 * KIB
        wire.send(*POST, f"Content-Length: {len(body)}", body=body)
        assert wire.answer()[0] == 200

    @pytest.mark.parametrize("head", [[*POST, "Content-Length: 100"], CHUNKED], ids=["length", "chunked"])
    def test_a_slow_body_is_given_up(self, wire, seen, monkeypatch, head):
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
        begin = time.monotonic()
        wire.send(*head, body=b"1\r\n")
        refused(wire, 408)
        assert time.monotonic() - begin < 5
        assert seen == []

    @pytest.mark.parametrize("head", [[*POST, "Content-Length: 100"], CHUNKED], ids=["length", "chunked"])
    def test_a_body_that_breaks_off_is_not_taken_for_an_empty_one(self, wire, seen, head):
        wire.send(*head)
        time.sleep(0.2)
        wire.socket.close()
        time.sleep(0.3)
        assert seen == []

    def test_a_compressed_body_is_refused(self, wire):
        wire.send(*POST, "Content-Encoding: gzip", "Content-Length: 2", body=b"{}")
        refused(wire, 415)

    @pytest.mark.parametrize("length", ["abc", "-1", "1, 1", "9" * 5000])
    def test_a_broken_length_is_refused(self, wire, seen, length):
        wire.send(*POST, f"Content-Length: {length}")
        assert wire.answer()[0] in (400, 413)
        assert seen == []

    def test_the_body_of_a_get_is_passed_over(self, wire):
        wire.send("GET /rest_api/v1/things HTTP/1.1", "Host: test", "Content-Length: 2", body=b"{}")
        assert json.loads(wire.answer()[2]) == {"name": None}

    def test_a_connection_serves_one_request_after_another(self, wire):
        for number in range(3):
            body = json.dumps({"number": number}).encode()
            wire.send(*POST, f"Content-Length: {len(body)}", body=body)
            assert json.loads(wire.answer()[2]) == {"got": {"number": number}}

    @pytest.mark.parametrize("cut", [None, 20, 130, -4, 0])
    @pytest.mark.parametrize(
        "offered",
        [
            "Upgrade: h2c",
            "UPGRADE : H2C",
            "upgrade: foo",
            "Upgrade: h2c, foo",
            "Upgrade:\r\n h2c",
            "Upgrade: websocket",
        ],
    )
    def test_the_offer_of_another_protocol_is_passed_over(self, wire, seen, offered, cut):
        """However it is spelt, and wherever the segments end: the body is a body, once."""
        body = b'{"a": "GET /rest_api/v1/things HTTP/1.1"}'
        lines = [*POST, "Connection: Upgrade, HTTP2-Settings", offered, f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, "", ""]).encode()
        first, second = (
            (head, body)
            if cut == 0
            else (head + body, b"")
            if cut is None
            else (head[:cut], head[cut:] + body)
        )
        wire.socket.sendall(first)
        if second:
            time.sleep(0.05)
            wire.socket.sendall(second)
        assert json.loads(wire.answer()[2]) == {"got": json.loads(body)}
        wire.send("GET /rest_api/v1/things HTTP/1.1", "Host: test")
        assert json.loads(wire.answer()[2]) == {"name": None}
        assert len(seen) == 1

    def test_requests_in_one_segment_are_answered_one_after_another(self, wire):
        get = b"GET /rest_api/v1/things?name=%d HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\n\r\n"
        wire.socket.sendall(get % 1 + get % 2)
        assert [json.loads(wire.answer()[2])["name"] for _ in range(2)] == ["1", "2"]

    def test_a_request_right_behind_a_body_is_answered_too(self, wire, seen):
        get = b"GET /rest_api/v1/things?name=2 HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\n\r\n"
        wire.send(*POST, "Content-Length: 2", body=b"{}" + get)
        assert json.loads(wire.answer()[2]) == {"got": {}}
        assert json.loads(wire.answer()[2]) == {"name": "2"}
        assert len(seen) == 1

    def test_a_body_that_speaks_of_another_protocol_is_left_as_it_is(self, wire):
        text = "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"
        body = json.dumps({"a": text}).encode().replace(b"\\r\\n", b"\\r\\n ") + b"\r\nUpgrade: h2c\r\n\r\n"
        wire.send(*POST, f"Content-Length: {len(body)}")
        time.sleep(0.1)
        wire.socket.sendall(body)
        assert refused(wire, 400)["detail"].startswith("The body is not valid JSON: unexpected content")


GET = ["GET /rest_api/v1/things HTTP/1.1", "Host: test"]
UNREAD = {
    "no such address": ["POST /rest_api/v1/nothing HTTP/1.1"],
    "no door": ["POST /elsewhere HTTP/1.1"],
    "a method that is not served": ["DELETE /rest_api/v1/things HTTP/1.1"],
    "a compressed body": [POST[0], "Content-Encoding: gzip"],
    "a media type that is not read": [POST[0], "Content-Type: text/plain"],
    "a page, which reads no body": ["GET /rest_api/v1/openapi.json HTTP/1.1"],
    "a redirect": ["GET /rest_api/ HTTP/1.1"],
}


def keep_sending(wire, most=64 * KIB * KIB):
    """Send until the server has closed the connection; return whether it did before so many bytes."""
    piece = b"x" * 64 * KIB
    with contextlib.suppress(ConnectionError):
        for _ in range(most // len(piece)):
            wire.socket.sendall(piece)
        return False
    return True


class TestUnreadBodies:
    """A response that comes before the end of the request body ends the connection."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
        monkeypatch.setattr(unread_bodies, "LINGER_SECONDS", 0.5)

    @pytest.mark.parametrize("head", UNREAD.values(), ids=UNREAD)
    def test_it_is_closed_whatever_the_response_is(self, wire, head):
        wire.send(*head, "Host: test", "Content-Length: 1000", body=b"{")
        assert wire.answer()[1]["connection"] == "close"
        assert wire.socket.recv(10) == b""

    @pytest.mark.parametrize("head", [[*POST, "Content-Length: 50000"], CHUNKED], ids=["length", "chunked"])
    def test_a_slow_sender_is_cut_off(self, wire, head):
        wire.send(*head, body=b"5000\r\n")
        refused(wire, 408)
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(1000):
                wire.socket.sendall(b" ")
                time.sleep(0.02)

    @pytest.mark.parametrize("body", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
    def test_a_quick_sender_is_cut_off_and_reads_the_error(self, wire, body):
        wire.send(*POST, body.decode(), body=b"fffffff\r\n")
        sender = threading.Thread(target=keep_sending, args=(wire, KIB * KIB * KIB))
        sender.start()
        assert refused(wire, 413)
        sender.join()
        with pytest.raises(ConnectionError):
            wire.socket.sendall(b"x" * KIB)

    def test_a_client_that_sends_before_it_reads_gets_the_error(self, wire):
        wire.send(*POST, f"Content-Length: {8 * KIB * KIB}")
        assert not keep_sending(wire, 8 * KIB * KIB)
        assert refused(wire, 413)["status"] == 413

    def test_a_small_body_that_is_there_costs_no_connection(self, wire):
        for head in UNREAD.values():
            wire.send(*head, "Host: test", "Content-Length: 2", body=b"{}")
            assert "connection" not in wire.answer()[1]
        wire.send(*GET)
        assert wire.answer()[0] == 200

    def test_a_client_that_waits_for_continue_is_not_asked_to_send(self, wire):
        wire.send(
            "POST /rest_api/v1/nothing HTTP/1.1", "Host: test", "Expect: 100-continue", "Content-Length: 2"
        )
        status, headers, _ = wire.answer()
        assert (status, headers["connection"]) == (404, "close")


class TestConnections:
    """The number of open connections is bounded."""

    @pytest.fixture
    def address(self, monkeypatch, metadata_database):
        monkeypatch.setattr(server_wire, "LINGER_SECONDS", 0.2)
        paths = {"/things": {"get": operation("get_things")}}
        app = small.application(monkeypatch, paths, {"get_things": small.empty})
        with small.serving(app, max_connections=3) as address:
            yield address

    def test_the_next_one_is_told_and_closed(self, address):
        with contextlib.ExitStack() as stack:
            known = [stack.enter_context(Wire(address)) for _ in range(3)]
            for one in known:
                one.send(*GET)
                assert one.answer()[0] == 200
            with Wire(address) as further:
                further.send(*GET)
                problem = refused(further, 503)
                assert problem["detail"] == "Too many connections are open; try again shortly."
                assert further.socket.recv(10) == b""
            known[0].send(*GET)
            assert known[0].answer()[0] == 200
            known[0].socket.close()
            assert small.until(lambda: self.status(address) == 200)

    @staticmethod
    def status(address):
        with Wire(address) as wire:
            wire.send(*GET)
            return wire.answer()[0]

    def test_many_more_are_closed_without_a_word(self, address, monkeypatch):
        monkeypatch.setattr(server_wire, "_MOST_REFUSED", 0)
        with contextlib.ExitStack() as stack:
            known = [stack.enter_context(Wire(address)) for _ in range(3)]
            for one in known:
                one.send(*GET)
                assert one.answer()[0] == 200
            with Wire(address) as further, pytest.raises((ConnectionError, EOFError)):
                further.answer()


class TestHeads:
    def test_a_head_without_end_is_cut_off(self, wire):
        wire.send("GET /rest_api/v1/things HTTP/1.1", "Host: test")
        assert wire.answer()[0] == 200
        wire.socket.sendall(b"GET /rest_api/v1/things HTTP/1.1\r\nHost: test\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                wire.socket.sendall(b"X-More: " + b"x" * KIB + b"\r\n")
        assert "exceed 65536 bytes" in refused(wire, 431)["detail"]

    def test_what_is_no_http_is_refused_as_a_problem(self, wire):
        wire.socket.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert refused(wire, 400)["detail"] == "What came in is no valid HTTP request."

    def test_a_body_in_the_segment_of_its_head_is_no_part_of_it(self, wire):
        body = json.dumps({"text": "x" * 60 * KIB}).encode()
        padding = "x" * 20 * KIB
        wire.send(*POST, f"X-More: {padding}", f"Content-Length: {len(body)}", body=body)
        assert json.loads(wire.answer()[2])["got"]["text"] == "x" * 60 * KIB


class TestAddresses:
    def get(self, wire, target):
        wire.send(f"GET {target} HTTP/1.1", "Host: test")
        return wire.answer()

    def test_a_long_address_is_refused_as_any_other(self, wire):
        for length in (9 * KIB, 30 * KIB):
            assert self.get(wire, f"/rest_api/v1/things?name={'x' * length}")[0] in (400, 414)

    @pytest.mark.parametrize("slash", ["%2F", "%2f"])
    def test_an_encoded_slash_separates_nothing(self, wire, slash):
        assert self.get(wire, "/rest_api/v1/things")[0] == 200
        assert self.get(wire, f"/rest_api{slash}v1/things")[0] == 404
        assert self.get(wire, f"/rest_api/v1{slash}things")[0] == 404

    def test_a_long_path_is_not_found(self, wire):
        assert self.get(wire, f"/rest_api/v1/{'x' * 9 * KIB}")[0] in (400, 404)

    @pytest.mark.parametrize(
        "target",
        [
            "/rest_api/v1/things?name=%00",
            "/rest_api/v1/things?name=%ED%A0%80",
            "/rest_api/v1/things?name=%ff",
            "/rest_api/v1/things?name=\xe4",
            "/rest_api/v1/things?" + "&".join(f"a{number}=1" for number in range(1001)),
            "/rest_api/v1/things?" + "a=1&" * 2000,
        ],
        ids=["nul", "surrogate", "no UTF-8", "raw byte", "many names", "many values"],
    )
    def test_a_hostile_query_is_malformed(self, wire, target):
        assert self.get(wire, target)[0] == 400

    @pytest.mark.parametrize(
        "path", ["/%00", "/rest_api/v1/things%00", "/rest_api/v1/%ED%A0%80", "/rest_api/v1/%ff", "/%zz", "//"]
    )
    def test_a_hostile_path_is_not_found(self, wire, path):
        assert self.get(wire, path)[0] in (400, 404)

    def test_an_absolute_address_is_no_way_out(self, wire):
        assert self.get(wire, "http://elsewhere/rest_api/v1/things")[0] in (200, 400, 404)


class TestParallel:
    def test_a_slow_sender_holds_nobody_up(self, monkeypatch, metadata_database):
        before = threading.active_count()
        paths = {"/things": {"post": operation("make_thing", body={"type": "object"})}}
        app = small.application(monkeypatch, paths, {"make_thing": lambda body: body}, worker_threads=1)
        with small.serving(app) as address, Wire(address) as slow, Wire(address) as quick:
            slow.send(*POST, "Content-Length: 2", body=b"{")
            quick.send(*POST, "Content-Length: 2", body=b"{}")
            assert quick.answer()[0] == 200
            slow.socket.sendall(b"}")
            assert slow.answer()[0] == 200
        assert threading.active_count() < before + 5


class TestSlowHeads:
    """Half-open connections cost a file descriptor each, so none is kept for long."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr(server_wire, "HEAD_SECONDS", 0.5)

    def test_a_head_that_does_not_end_is_given_up(self, wire, seen):
        with Wire(wire.socket.getpeername()) as slow:
            slow.socket.sendall(b"POST /rest_api/v1/things HTTP/1.1\r\nHost: t")
            assert "did not arrive" in refused(slow, 408)["detail"]
            assert slow.socket.recv(10) == b""
        assert seen == []

    def test_a_connection_on_which_nothing_comes_is_closed(self, wire):
        with Wire(wire.socket.getpeername()) as silent:
            assert silent.socket.recv(10) == b""

    def test_a_second_head_has_its_own_time(self, wire):
        with Wire(wire.socket.getpeername()) as kept:
            kept.send("GET /rest_api/v1/things HTTP/1.1", "Host: test")
            assert kept.answer()[0] == 200
            time.sleep(0.7)
            kept.socket.sendall(b"GET /rest_api/v1/things HTT")
            refused(kept, 408)

    def test_a_request_that_takes_longer_is_answered(self, monkeypatch, metadata_database):
        def get_slowly():
            time.sleep(1)
            return {}

        app = small.application(
            monkeypatch, {"/slow": {"get": operation("get_slowly")}}, {"get_slowly": get_slowly}
        )
        with small.serving(app) as address, Wire(address) as patient:
            patient.send("GET /rest_api/v1/slow HTTP/1.1", "Host: test")
            assert patient.answer()[0] == 200

    def test_many_of_them_do_not_keep_others_waiting(self, wire):
        address = wire.socket.getpeername()
        with contextlib.ExitStack() as stack:
            half_open = [stack.enter_context(Wire(address)) for _ in range(200)]
            for one in half_open:
                one.socket.sendall(b"GET /rest_api/v1/things HTTP/1.1\r\nX: ")
            with Wire(address) as other:
                other.send("GET /rest_api/v1/things HTTP/1.1", "Host: test")
                assert other.answer()[0] == 200
            for one in half_open:
                refused(one, 408)


class TestLongAddresses:
    @pytest.mark.parametrize(("length", "status"), [(15_000, 400), (17_000, 414)])
    def test_an_address_that_is_too_long_is_refused(self, wire, length, status):
        wire.send(f"GET /rest_api/v1/things?name={'x' * length} HTTP/1.1", "Host: test")
        refused(wire, status)
