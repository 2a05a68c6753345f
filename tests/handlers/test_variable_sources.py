"""Where variables come from, and their values in clear: `get_variable` with `source=all`, `reveal_variable`."""

from __future__ import annotations

import json
from urllib.parse import unquote
from uuid import uuid4

import pytest
from airflow.models.log import Log
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_rest_api.services.named import secret_sources
from tests.support.secrets_backends import WHISPERED, HangingBackend

pytestmark = pytest.mark.usefixtures("restored_afterwards")

ALL = {"source": "all"}
REASON = {"reason": "To see whether it can be seen."}
SECRET = "battery-of-horses"


@pytest.fixture
def key():
    return f"sourced_{uuid4().hex[:8]}"


@pytest.fixture
def path(rest, key):
    """The address of a variable of the test's own."""
    body = {"key": key, "value": "stored", "description": "Stored."}
    assert rest.post("/variables", json=body).status_code == 201
    return f"/variables/{key}"


@pytest.fixture
def backend(monkeypatch):
    """`backend("Holding", variables={…})`: the installation has this secrets backend."""

    def configure(name, **options):
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", f"tests.support.secrets_backends.{name}Backend")
        monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps(options))

    return configure


@pytest.mark.in_process
class TestGetVariableOfAllSources:
    def test_the_database_is_the_last_of_them(self, rest, path):
        plain, answer = rest.get(path), rest.get(path, params=ALL)
        assert answer.json() == {**plain.json(), "source": "database"}
        assert answer.headers["etag"].partition("-")[0] == plain.headers["etag"].partition("-")[0]
        assert rest.get(path, params={"source": "database"}).json() == plain.json()

    def test_the_environment_hides_the_database(self, rest, path, key, monkeypatch):
        monkeypatch.setenv(f"AIRFLOW_VAR_{key.upper()}", "of the environment")
        answer = rest.get(path, params=ALL)
        elsewhere = {"description": None, "is_encrypted": False, "team_name": None, "source": "environment"}
        assert answer.json() == {"key": key, "value": "of the environment", **elsewhere}
        # What can be changed is what is stored.
        changed = rest.put(path, json={"value": "new"}, headers={"If-Match": answer.headers["etag"]})
        assert changed.status_code == 200
        assert rest.get(path).json()["value"] == "new"

    def test_a_backend_hides_them_all(self, rest, path, key, backend, monkeypatch):
        monkeypatch.setenv(f"AIRFLOW_VAR_{key.upper()}", "of the environment")
        backend("Holding", variables={key: "held"})
        answer = rest.get(path, params=ALL).json()
        assert (answer["value"], answer["source"]) == ("held", "HoldingBackend")

    def test_what_is_not_stored_is_found_and_masked(self, rest, backend):
        backend("Holding", variables={"held_api_key": SECRET, "held": json.dumps({"password": SECRET})})
        assert rest.get("/variables/held_api_key", params=ALL).json()["value"] == "***"
        assert rest.get("/variables/held", params=ALL).json()["value"] == '{"password": "***"}'
        assert rest.get("/variables/held").status_code == 404

    def test_what_is_nowhere_is_not_found(self, rest, backend):
        backend("Holding")
        answer = rest.get("/variables/nowhere", params=ALL)
        assert (answer.status_code, answer.json()["variable_key"]) == (404, "nowhere")

    @pytest.mark.parametrize(
        ("name", "status"), [("Failing", 503), ("Broken", 503), ("Missing", 503), ("Denying", 403)]
    )
    def test_a_backend_that_fails_is_told_and_not_passed_over(
        self, rest, path, backend, caplog, name, status
    ):
        backend(name)
        answer = rest.get(path, params=ALL)
        assert answer.status_code == status
        assert WHISPERED not in answer.text + caplog.text
        # Who asks for the database alone does not depend on it.
        assert rest.get(path).status_code == 200

    def test_a_backend_that_hangs_holds_nobody_up_for_long(self, rest, path, backend, monkeypatch):
        monkeypatch.setattr(secret_sources, "LIMIT", 0.2)
        backend("Hanging")
        answers = [rest.get(path, params=ALL) for _ in range(6)]
        HangingBackend.released.set()
        assert [answer.status_code for answer in answers] == [503] * 6
        assert "0.2 seconds" in answers[0].json()["detail"]

    def test_who_may_not_read_variables_reads_none(self, rest, path):
        assert rest.get(path, params=ALL, role="viewer").status_code == 403


@pytest.mark.in_process
class TestRevealVariable:
    def test_it_is_switched_off_unless_told_otherwise(self, rest, path):
        answer = rest.post(f"{path}/reveal", json=REASON)
        assert (answer.status_code, answer.json()["switch"]) == (403, "reveal_enabled")

    def test_the_value_is_told_letter_for_letter_and_kept_nowhere(self, rest, revealing, key):
        value = json.dumps({"password": SECRET, "n": [1, 2]}, indent=7) + " "
        rest.post("/variables", json={"key": key, "value": value})
        answer = revealing.post(f"/variables/{key}/reveal", json=REASON)
        assert answer.json() == {"key": key, "value": value, "source": "database"}
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers

    def test_the_event_log_has_the_reason_and_not_the_value(self, rest, revealing, key):
        rest.post("/variables", json={"key": key, "value": SECRET})
        revealing.post(f"/variables/{key}/reveal", json=REASON)
        with create_session(scoped=False) as session:
            found = session.scalars(select(Log.extra).where(Log.event == "reveal_variable").order_by(Log.id))
            rows = [json.loads(extra) for extra in found if key in extra]
        assert [row["phase"] for row in rows] == ["intent", "outcome"]
        assert all(row["reason"] == REASON["reason"] and row["variable_key"] == key for row in rows)
        assert all(SECRET not in json.dumps(row) for row in rows)

    @pytest.mark.parametrize("key", ["a/b", "a/reveal", "/a", "ü b", "a%0Ab"])
    def test_keys_may_hold_anything(self, rest, revealing, key):
        rest.put(f"/variables/{key}", json={"value": "1"})
        assert revealing.post(f"/variables/{key}/reveal", json=REASON).json()["key"] == unquote(key)
        assert rest.delete(f"/variables/{key}").status_code == 204

    def test_the_source_is_that_of_get_variable(self, revealing, path, key, backend):
        backend("Holding", variables={key: SECRET, "held_api_key": SECRET})
        values = [
            revealing.post(f"{path}/reveal", json=REASON, params=params).json()["value"]
            for params in ({}, ALL)
        ]
        assert values == ["stored", SECRET]
        assert revealing.post("/variables/held_api_key/reveal", json=REASON).status_code == 404
        assert (
            revealing.post("/variables/held_api_key/reveal", json=REASON, params=ALL).json()["value"]
            == SECRET
        )

    @pytest.mark.parametrize(
        "body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 1001}, {"reason": 1}]
    )
    def test_it_takes_a_reason(self, revealing, path, body):
        assert revealing.post(f"{path}/reveal", json=body).status_code == 400

    def test_what_cannot_be_decrypted_is_not_told(self, revealing, path, key):
        with create_session(scoped=False) as session:
            session.scalar(select(Variable).where(Variable.key == key))._val = "no ciphertext"
        assert revealing.post(f"{path}/reveal", json=REASON).status_code == 409

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user", "op"])
    def test_it_takes_the_power(self, revealing, path, role):
        answer = revealing.post(f"{path}/reveal", json=REASON, role=role)
        assert answer.status_code == (401 if role is None else 403)

    def test_it_takes_no_idempotency_key(self, revealing, path):
        headers = {"Idempotency-Key": "a-key"}
        answers = [revealing.post(f"{path}/reveal", json=REASON, headers=headers) for _ in range(2)]
        assert all("idempotency-replayed" not in answer.headers for answer in answers)

    def test_without_the_audit_nothing_is_told(self, revealing, path, monkeypatch):
        from airflow_rest_api.security.audit import Audit

        def fails(*_):
            raise OSError

        monkeypatch.setattr(Audit, "_write", fails)
        answer = revealing.post(f"{path}/reveal", json=REASON)
        assert (answer.status_code, "stored" in answer.text) == (503, False)
