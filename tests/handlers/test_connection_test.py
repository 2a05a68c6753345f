"""Connection: `openapi/paths/connection_test.yaml`, against Airflow's `/api/v2` where that can be compared."""

from __future__ import annotations

import json
import os
import sys
from unittest import mock
from urllib.parse import urlsplit

import pytest

from tests.conftest import application, in_process
from tests.sandbox import stray_hooks
from tests.support import clients
from tests.support.shared_calls import SharedCall, assert_alike
from tests.support.shared_calls_of.connection_test import CALLS
from tests.support.sinks import sink

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

PATH = "/connections/test"
# Of loopback as well, and allowed by the setting of `tester`.
ALLOWED = "127.0.0.2"
PASSWORD, TOKEN = "stored-and-secret", "token-and-secret"
STORED = {
    "connection_id": "stored",
    "conn_type": "stray",
    "schema": "log_in",
    "host": ALLOWED,
    "login": "reader",
    "password": PASSWORD,
    "extra": json.dumps({"api_token": TOKEN, "region": "north"}),
}
BARE = {"connection_id": "stored", "conn_type": "stray"}
HARMLESS = (
    {"connection_id": "new", "conn_type": "no-such-type"},
    {"connection_id": "new", "conn_type": "fs", "extra": '{"path": "/tmp"}'},
    {"connection_id": "new", "conn_type": "fs", "extra": '{"path": "/no/such/path"}'},
    {"connection_id": "new", "conn_type": "fs", "extra": ""},
    {"connection_id": "new", "conn_type": "git", "host": "https://example.invalid/a.git"},
    {"connection_id": "kept_{side}", "conn_type": "fs"},
    {"connection_id": "kept_{side}", "conn_type": "fs", "extra": '{"path": "/"}', "description": "x"},
    {"connection_id": "kept_{side}", "conn_type": "fs", "extra": None},
    {"connection_id": "kept_{side}", "conn_type": "fs", "host": "elsewhere.invalid"},
)


@pytest.fixture(scope="module")
def tester(home, token, tmp_path_factory):
    """The service where tests are allowed, with the hooks of the tests, and with one opening."""
    packages = str(stray_hooks.installed(tmp_path_factory.mktemp("stray")))
    variables = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__REST_API__TEST_CONNECTION_ALLOWED_HOSTS": f"{ALLOWED}, no.such.name.invalid:80",
    }
    sys.path.insert(0, packages)
    with mock.patch.dict(os.environ, variables), in_process(application()) as http:
        yield clients.Client(http, clients.REST, token)
    sys.path.remove(packages)


@pytest.fixture
def server():
    with sink(host=ALLOWED) as met:
        yield met


@pytest.fixture
def stored(tester, server):
    """A connection with secrets, to a server that may be dialled."""
    made = tester.post("/connections", json={**STORED, "port": server.port})
    assert made.status_code == 201
    return {**BARE, "port": server.port}


def refusal(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


class TestTestConnection:
    def test_it_is_refused_as_by_airflow_where_it_is_switched_off(self, rest, v2):
        assert_alike(CALLS, rest, v2)
        answer = rest.post(PATH, json=BARE)
        assert refusal(answer) == (403, "connection-tests-off")
        assert "[core] test_connection" in answer.json()["detail"]

    @pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
    def test_what_dials_nowhere_is_answered_as_by_airflow(self, tester, v2):
        kept = {"connection_id": "kept_{side}", "conn_type": "fs", "extra": '{"path": "/tmp"}', "login": "me"}
        calls = [SharedCall("POST", "/connections", json=kept)]
        calls += [SharedCall("POST", PATH, json=body) for body in HARMLESS]
        assert_alike(calls, tester, v2)

    def test_a_connection_is_tried_with_all_that_was_sent_and_none_of_it_is_stored(self, tester, server):
        body = {**STORED, "connection_id": "sent", "port": server.port}
        assert tester.post(PATH, json=body).json() == {"status": True, "message": "logged in"}
        assert server.received.decode() == f"reader {PASSWORD} {STORED['extra']}"
        assert tester.get("/connections/sent").status_code == 404

    @pytest.mark.parametrize(
        "further",
        [
            {},
            {"password": "***"},
            {"password": "***", "extra": json.dumps({"region": "north", "api_token": "***"})},
            {"host": ALLOWED, "schema": "log_in", "login": "reader", "description": "anything"},
        ],
    )
    def test_stored_secrets_are_used_where_nothing_but_them_could_differ(
        self, tester, server, stored, further
    ):
        assert tester.post(PATH, json={**stored, **further}).json()["status"] is True
        reader, password, extra = server.received.decode().split(" ", 2)
        assert (reader, password, json.loads(extra)) == ("reader", PASSWORD, json.loads(STORED["extra"]))

    @pytest.mark.parametrize(
        "change",
        [
            {"host": "127.0.0.3"},
            {"host": None},
            {"conn_type": "smtp"},
            {"schema": "dial"},
            {"login": "127.0.0.2:80"},
            {"extra": json.dumps({"api_token": "***", "region": "north", "proxy": f"http://{ALLOWED}"})},
            {"extra": json.dumps({"api_token": "***", "region": "***", "more": "***"})},
            {"extra": json.dumps({"api_token": "another", "region": "north"})},
            {"extra": None},
            {"port": 1},
        ],
    )
    def test_stored_secrets_never_go_where_they_were_not_stored_for(self, tester, server, stored, change):
        body = {**stored, **change}
        for password in ({}, {"password": None}, {"password": ""}, {"password": "***"}):
            answer = tester.post(PATH, json={**body, **password})
            assert refusal(answer) == (400, "credentials-needed")
            assert next(iter(change)).replace("conn_type", "type")[:4] in answer.json()["detail"]
        assert server.connections == 0

    def test_who_brings_the_secrets_gets_none_of_those_that_are_stored(self, tester, server, stored):
        body = {**stored, "login": "other", "password": "my own word"}
        answer = tester.post(PATH, json=body)
        assert refusal(answer) == (400, "credentials-needed")
        assert "send the extra" in answer.json()["detail"]
        assert refusal(tester.post(PATH, json={**body, "extra": '{"api_token": "***"}'})) == (
            400,
            "masked-value",
        )
        assert tester.post(PATH, json={**body, "extra": "{}"}).json()["status"] is True
        assert server.received.decode() == "other my own word {}"

    def test_nothing_of_what_is_stored_is_used_for_another_port(self, tester, stored):
        with sink(host=ALLOWED) as other:
            moved = {
                **stored,
                "port": other.port,
                "host": ALLOWED,
                "schema": "log_in",
                "password": "my own word",
            }
            assert tester.post(PATH, json=moved).json()["status"] is True
        assert other.received.decode() == "None my own word None"

    def test_another_password_alone_goes_where_the_rest_of_it_is_stored_for(self, tester, server, stored):
        assert tester.post(PATH, json={**stored, "password": "my-new-word"}).json()["status"] is True
        assert server.received.decode() == f"reader my-new-word {STORED['extra']}"

    def test_who_may_not_read_a_connection_gets_nothing_of_it(self, tester, server, stored, monkeypatch):
        from airflow.api_fastapi.app import get_auth_manager

        manager = type(get_auth_manager())
        known = manager.is_authorized_connection
        monkeypatch.setattr(
            manager,
            "is_authorized_connection",
            lambda self, *, method, **rest: method != "GET" and known(self, method=method, **rest),
        )
        answer = tester.post(PATH, json={**stored, "schema": "log_in", "host": ALLOWED})
        assert answer.json()["status"] is True
        assert server.received.decode() == "None None None"
        assert refusal(tester.post(PATH, json={**stored, "password": "***"})) == (400, "masked-value")

    def test_a_mask_for_what_is_not_stored_is_no_secret(self, tester):
        for field in ({"password": "***"}, {"extra": '{"token": "***"}'}):
            body = {"connection_id": "nowhere", "conn_type": "fs", **field}
            assert refusal(tester.post(PATH, json=body)) == (400, "masked-value")

    @pytest.mark.parametrize(
        "place",
        [
            {"host": "127.0.0.1"},
            {"host": "localhost"},
            {"host": "0177.0.0.1"},
            {"host": "::ffff:127.0.0.1"},
            {"host": "169.254.169.254"},
            {"host": f"{ALLOWED},[::1]"},
            {"extra": '{"endpoint_url": "http://a:b@127.0.0.1:1/x"}'},
        ],
    )
    def test_what_leads_to_a_denied_address_is_refused_before_it_is_dialled(self, tester, place):
        with sink() as met:
            body = {
                "connection_id": "sent",
                "conn_type": "stray",
                "schema": "log_in",
                "port": met.port,
                **place,
            }
            answer = tester.post(PATH, json=body)
            assert refusal(answer) == (403, "address-not-allowed")
            assert "test_connection_allowed_hosts" in answer.json()["detail"]
            assert met.connections == 0

    def test_airflows_own_database_is_not_dialled(self, tester):
        url = "postgresql+psycopg2://airflow:secret-word@10.255.255.1/airflow?host=10.255.255.2:5432"
        with mock.patch.dict(os.environ, {"AIRFLOW__CELERY__RESULT_BACKEND": url}):
            for host in ("10.255.255.1", "10.255.255.2"):
                body = {"connection_id": "sent", "conn_type": "stray", "schema": "nothing", "host": host}
                assert refusal(tester.post(PATH, json=body)) == (403, "address-not-allowed")

    def test_a_hook_that_dials_elsewhere_is_kept_from_it_and_says_so(self, tester):
        with sink() as met:
            body = {
                "connection_id": "sent",
                "conn_type": "stray",
                "schema": "dial",
                "login": f"127.0.0.1:{met.port}",
            }
            answer = tester.post(PATH, json=body).json()
            assert answer["status"] is False
            assert answer["message"].endswith("(not allowed to be dialled: a loopback address)")
            assert met.connections == 0

    def test_no_message_tells_a_secret_or_has_control_characters(self, tester):
        secrets = {
            "password": 'p"w',
            "extra": json.dumps({"client_secret": ["deep secret", 12345678], "a": "plain"}),
        }
        body = {"connection_id": "sent", "conn_type": "stray", "schema": "tell", "login": "me", **secrets}
        message = tester.post(PATH, json=body).json()["message"]
        for secret in (
            'p"w',
            "p%22w",
            'p\\"w',
            "deep secret",
            "deep+secret",
            "\x1b",
            "\r",
            "\u2028",
        ):
            assert secret not in message
        assert "plain" in message
        assert len(message) <= 2000

    @pytest.mark.parametrize(
        ("deed", "sentence"),
        [
            ("leave_by_exit", "The process of the test ended itself."),
            ("crash", "The process of the test crashed."),
        ],
    )
    def test_what_ended_a_test_is_told(self, tester, deed, sentence):
        body = {"connection_id": "sent", "conn_type": "stray", "schema": deed}
        assert tester.post(PATH, json=body).json() == {"status": False, "message": sentence}

    def test_it_is_in_the_event_log_without_secrets(self, tester):
        body = {"connection_id": "logged", "conn_type": "fs", "password": "not-for-the-log"}
        assert tester.post(PATH, json=body).status_code == 200
        rows = tester.get("/eventLogs", params={"event": "test_connection", "limit": 2, "order_by": "-when"})
        phases = [json.loads(row["extra"]) for row in rows.json()["event_logs"]]
        assert {(row["phase"], row["connection_id"]) for row in phases} == {
            ("intent", "logged"),
            ("outcome", "logged"),
        }
        assert "not-for-the-log" not in rows.text

    def test_who_finds_no_place_is_told_when_to_come_again(self, tester, monkeypatch):
        from airflow_rest_api.sandbox.box import Sandbox, SandboxBusy, SandboxUnavailable

        body = {"connection_id": "sent", "conn_type": "fs"}
        for fault, code in ((SandboxBusy, "testers-busy"), (SandboxUnavailable, "tester-unavailable")):
            monkeypatch.setattr(Sandbox, "dial", mock.Mock(side_effect=fault))
            answer = tester.post(PATH, json=body)
            assert refusal(answer) == (503, code)
            assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.postgres
def test_a_driver_in_c_reaches_its_server_where_that_is_allowed_and_tells_what_is_wrong(postgres_url):
    from airflow_rest_api.sandbox.box import Sandbox

    url = urlsplit(postgres_url)
    connection = {
        "conn_id": "tried",
        "conn_type": "postgres",
        "host": url.hostname,
        "port": url.port,
        "login": url.username,
        "password": url.password,
        "schema": url.path[1:],
    }
    allowed = {"openings": [("127.0.0.1/32", url.port)], "own": []}
    box = Sandbox()
    try:
        found = box.dial(connection, **allowed)
        assert (found.status, found.message) == (True, "Connection successfully tested")
        found = box.dial({**connection, "password": "another"}, **allowed)
        assert found.status is False
        assert "password authentication failed" in found.message
        assert box.dial(connection, openings=[], own=[]).refused == "127.0.0.1"
        # What the driver takes for an address, and nobody else.
        hidden = {**connection, "host": None, "extra": json.dumps({"service": "none", "options": "-c a=b"})}
        assert box.dial(hidden, openings=[], own=[]).status is False
    finally:
        box.stop()
