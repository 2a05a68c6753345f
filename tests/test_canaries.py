"""The canaries themselves: a secret that is told anywhere, in any form, is found, and its place is named."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from contextlib import closing
from urllib.parse import quote

import httpx
import pytest
import structlog
from cryptography.fernet import Fernet

from tests.support import canaries, listening
from tests.support.canaries import Notebook

SECRETS = canaries.planted()
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.of-this-test-alone"


@pytest.fixture
def own(tmp_path):
    """A notebook of this test's own: what is told here on purpose must not end the session."""
    return Notebook(tmp_path / "said", SECRETS)


def response(content, path="/rest_api/v1/dags", status=200, **headers):
    request = httpx.Request("GET", f"http://test{path}", headers=headers)
    return httpx.Response(status, content=content, request=request)


class TestWhatIsPlanted:
    def test_there_are_twenty_and_they_are_told_apart(self):
        assert len(SECRETS) >= 20
        assert len(set(SECRETS.values())) == len(SECRETS)

    def test_airflow_reads_them(self):
        from airflow.configuration import conf

        assert conf.get("core", "fernet_key") == canaries.FERNET_KEY
        assert conf.get("api", "secret_key") == canaries.SECRET_KEY
        assert conf.get("api_auth", "jwt_secret") == canaries.JWT_SECRET
        Fernet(canaries.FERNET_KEY)

    @pytest.mark.parametrize("name", list(canaries.CONNECTIONS))
    def test_they_are_in_the_database(self, name):
        from airflow.models.connection import Connection
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session(scoped=False) as session:
            row = session.scalars(select(Connection).where(Connection.conn_id == name)).one()
            assert (row.password, json.loads(row.extra)) == canaries.CONNECTIONS[name]


class TestFinding:
    @pytest.mark.parametrize("name", list(SECRETS))
    def test_every_one_is_found_however_it_is_written(self, tmp_path, name):
        secret = SECRETS[name]
        raw = secret.encode()
        written = {
            "as it is": raw,
            "in JSON": json.dumps({"a": secret}).encode(),
            "in an address": f"/a?b={quote(secret, safe='')}".encode(),
            "in an object": repr({"a": secret}).encode(),
            **{f"in base64 after {n}": base64.b64encode(b"12"[:n] + raw + b"3") for n in range(3)},
            "in base64 for addresses": base64.urlsafe_b64encode(raw),
        }
        for number, (where, said) in enumerate(written.items()):
            notebook = Notebook(tmp_path / str(number), SECRETS)
            notebook.note("another place", b"nothing of interest")
            notebook.note(where, b"before " + said + b" after")
            notebook.note("a third place", b"nothing else")
            assert any(
                hit.startswith(f"{name}, as ") and hit.endswith(f" in {where}") for hit in notebook.hits()
            )

    def test_what_is_harmless_is_none(self, own):
        own.note("here", b"nothing of interest, such as the canary in the mine or a password")
        assert own.hits() == []

    @pytest.mark.parametrize(
        "said", [TOKEN, f'{{"a":"{TOKEN}"}}', f"Bearer {TOKEN}.", base64.b64encode(TOKEN.encode()).decode()]
    )
    def test_a_token_that_was_given_out_is_found(self, own, said):
        own.note("here", said.encode())
        assert own.hits() == []
        own.issued("a token", TOKEN)
        assert [hit.partition(",")[0] for hit in own.hits()] == ["a token"]

    def test_a_word_that_is_no_token_is_left_alone(self, own):
        for word in ("", "x", "not.a.token", "with spaces in between them all"):
            own.issued("a token", word)
            own.note("here", word.encode())
        assert own.hits() == []


class TestListening:
    SECRET = canaries.password_of("op")

    def found(self, notebook):
        (hit,) = notebook.hits()
        assert hit.startswith("password of op")
        return hit.partition("…, in ")[2]

    def test_the_body_of_an_answer(self, own):
        listening.answer(own, response(self.SECRET.encode()))
        assert self.found(own).startswith(
            "the answer 200 to GET /rest_api/v1/dags in tests/test_canaries.py::"
        )

    def test_the_headers_of_an_answer(self, own):
        answer = response(b"")
        answer.headers["location"] = f"/a?b={self.SECRET}"
        listening.answer(own, answer)
        assert self.found(own)

    def test_a_login_may_tell_its_tokens_and_nobody_else(self, own):
        listening.answer(own, response(json.dumps({"access_token": TOKEN}), "/rest_api/v1/security/login"))
        assert own.hits() == []
        listening.answer(own, response(json.dumps({"access_token": TOKEN})))
        assert own.hits()[0].startswith("an access_token that was issued")

    def test_a_login_that_fails_may_tell_nothing(self, own):
        listening.answer(own, response(self.SECRET.encode(), "/rest_api/v1/security/login", 401))
        assert self.found(own)

    def test_a_token_that_comes_back(self, own):
        listening.answer(own, response(TOKEN.encode(), authorization=f"Bearer {TOKEN}"))
        assert own.hits()[0].startswith("a token that was presented")

    def test_airflows_own_answers_are_not_ours(self, own):
        listening.answer(own, response(self.SECRET.encode(), "/api/v2/dags"))
        assert own.hits() == []

    def test_the_message_and_the_traceback_of_a_log_record(self, own):
        handler = listening.Handler(own)
        fault = ValueError(self.SECRET)
        handler.emit(
            logging.LogRecord("probe", logging.DEBUG, "f", 1, "It failed", (), (ValueError, fault, None))
        )
        assert self.found(own).startswith("the log probe in tests/test_canaries.py::")

    def test_a_row_of_the_event_log(self, own, tmp_path):
        with closing(sqlite3.connect(tmp_path / "a.db")) as database:
            database.execute("CREATE TABLE log (id INTEGER, extra TEXT)")
            database.execute("INSERT INTO log VALUES (7, ?)", [json.dumps({"a": self.SECRET})])
            database.commit()
        listening.events(own, tmp_path / "a.db")
        assert self.found(own) == "the event log, row 7"

    def test_a_database_that_is_elsewhere_has_none(self, own, tmp_path):
        listening.events(own, tmp_path / "none.db")
        assert not (tmp_path / "none.db").exists()

    @pytest.mark.in_process
    def test_the_session_hears_everything_from_debug_on(self, rest, notebook):
        rest.get("/dags/heard-in-an-answer")
        logging.getLogger("airflow_rest_api.probe").debug("heard in a log of %s", "ours")
        log = structlog.get_logger("airflow.probe")
        log.debug("heard in a log of %s", "Airflow's")
        try:
            raise ValueError("heard in a traceback")
        except ValueError:
            log.exception("It failed")
        said = notebook.said()
        for words in ("heard-in-an-answer", "heard in a log of ours", "heard in a log of Airflow's"):
            assert words.encode() in said
        assert b"ValueError: heard in a traceback" in said

    @pytest.mark.in_process
    def test_what_airflow_would_not_log_is_not_logged_for_it(self, own, capsys):
        structlog.get_logger("airflow.probe").debug("not to be written")
        structlog.get_logger("airflow.probe").warning("to be written")
        told = capsys.readouterr().out
        assert "not to be written" not in told
        assert "to be written" in told


@pytest.mark.in_process
class TestHeaderToken:
    def test_it_is_heard_by_the_session_and_told_nowhere(self, rest, monkeypatch, notebook):
        from airflow_rest_api.web.app import create_application
        from tests.conftest import in_process

        monkeypatch.setenv("AIRFLOW__REST_API__HTTP_TOKEN", f"probe:admin:{canaries.HEADER_TOKEN}")
        header = {"rest_api_plugin_http_token": canaries.HEADER_TOKEN}
        with in_process(create_application()) as http:
            for method, path, status in (
                ("GET", "/rest_api/v1/dags", 200),
                ("POST", "/rest_api/v1/security/logout", 409),
                ("GET", f"/rest_api/v1/dags/{canaries.HEADER_TOKEN}", 404),
                ("GET", f"/rest_api/v1/dags?order_by={canaries.HEADER_TOKEN}", 400),
            ):
                assert http.request(method, path, headers=header).status_code == status
            bearer = {"Authorization": f"Bearer {canaries.HEADER_TOKEN}"}
            assert http.get("/rest_api/v1/dags", headers=bearer).status_code == 401
