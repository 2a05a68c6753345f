"""Redaction, from outside: no answer, no problem and no row of the event log holds a secret of the installation."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_rest_api.security.redaction import MASK, Redactor
from airflow_rest_api.services import errors
from tests.web import small

SECRET = "the key/of+this ‘house’ 42"
IN_BASE64 = base64.b64encode(SECRET.encode()).decode()


@pytest.fixture
def house(build, monkeypatch):
    """`house(result, media_type=…)`: a client of a service that answers this at `a`, and whose key is `SECRET`."""
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", SECRET)

    def make(result, **options):
        def get_a():
            if isinstance(result, Exception):
                raise result
            return result

        return build({"/a": {"get": small.operation("get_a", **options)}}, {"get_a": get_a})

    return make


class TestAnswers:
    def test_a_value_of_an_answer(self, house):
        assert house({"a": [f"<{SECRET}>"], SECRET: 1}).get("a").json() == {"a": [f"<{MASK}>"], MASK: 1}

    @pytest.mark.parametrize("result", [f"a {SECRET}", f"a {SECRET}".encode()], ids=["text", "bytes"])
    def test_a_text(self, house, result):
        response = house(result, answer={"type": "string"}, media_type="text/plain").get("a")
        assert (response.text, response.headers["content-length"]) == (f"a {MASK}", "5")

    def test_each_part_of_a_stream(self, house):
        parts = [f'{{"event":"{SECRET}"}}\n'.encode(), b"{}\n", f'"{IN_BASE64}"\n'.encode()]
        response = house(parts, answer={"type": "string"}, media_type="application/x-ndjson").get("a")
        first, second, third = response.text.splitlines()
        assert (first, second, third[:4]) == (f'{{"event":"{MASK}"}}', "{}", f'"{MASK}')

    def test_a_stream_that_is_not_read_to_its_end_is_closed(self, house):
        closed = []

        def parts():
            try:
                yield b"{}\n"
                yield b"{}\n"
            finally:
                closed.append(True)

        client = house(parts(), answer={"type": "string"}, media_type="application/x-ndjson")
        assert client.head("a").status_code == 200
        # By a worker, after the answer.
        assert small.until(lambda: closed == [True])

    def test_the_detail_and_the_members_of_a_problem(self, house):
        problem = house(errors.Conflict(f"No, {SECRET}.", cause=SECRET)).get("a").json()
        assert (problem["detail"], problem["cause"]) == (f"No, {MASK}.", MASK)

    def test_the_path_that_a_problem_repeats(self, house):
        problem = house({}).get(f"nothing/{quote(SECRET, safe='')}").json()
        assert problem["instance"] == f"/rest_api/v1/nothing/{MASK}"

    def test_without_it_all_of_this_would_be_told(self, house, monkeypatch):
        for name in ("text", "part", "json"):
            monkeypatch.setattr(Redactor, name, lambda _, given: given)
        assert house({"a": SECRET}).get("a").json() == {"a": SECRET}
        assert SECRET in house({}).get(f"nothing/{quote(SECRET, safe='')}").text


class TestAudit:
    KEY = "0123456789.the-key-of-the-house"

    @pytest.fixture
    def changing(self, build, monkeypatch):
        """A service with one change that a caller may make, and one that a login makes."""
        monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", self.KEY)
        rule = {"resource": "dag", "method": "POST", "id_from": "path.dag_id"}
        makes = {"x-airflow-access": [rule], "security": [{"bearer": []}]}
        path = [small.parameter("dag_id", "path", type="string")]
        paths = {"/a/{dag_id}": {"post": small.operation("make_a", parameters=path, **makes)}}
        return build(paths, {"make_a": lambda dag_id: {}})

    def rows(self):
        with create_session(scoped=False) as session:
            query = select(Log.dag_id, Log.extra).where(Log.event == "make_a").order_by(Log.id)
            return [tuple(row) for row in session.execute(query)]

    def call(self, client, token):
        before = len(self.rows())
        headers = {"X-Request-Id": self.KEY, "Authorization": f"Bearer {token}"}
        response = client.post(f"a/{self.KEY}", headers=headers)
        return response.status_code, self.rows()[before:]

    @pytest.mark.usefixtures("restored_database")
    def test_the_rows_of_a_change(self, changing, token):
        status, rows = self.call(changing, token("admin"))
        assert (status, len(rows)) == (200, 2)
        for dag_id, extra in rows:
            assert (dag_id, json.loads(extra)["request_id"]) == (MASK, MASK)

    @pytest.mark.usefixtures("restored_database")
    def test_the_row_that_counts_refusals(self, changing):
        status, rows = self.call(changing, "no token")
        assert status == 401
        assert [json.loads(extra)["request_id"] for _, extra in rows] == [MASK]

    @pytest.mark.usefixtures("restored_database")
    def test_without_it_the_key_would_be_there(self, changing, token, monkeypatch):
        monkeypatch.setattr(Redactor, "text", lambda _, given: given)
        _, rows = self.call(changing, token("admin"))
        assert all(self.KEY in extra and dag_id == self.KEY for dag_id, extra in rows)
