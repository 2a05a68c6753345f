"""Redaction: what the installation must keep to itself, however it is written and wherever it is configured."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from airflow_rest_api.security import redaction
from airflow_rest_api.security.redaction import MASK, Redactor
from airflow_rest_api.settings import HeaderToken, Settings

SECRET = "the key/of+this ‘house’ 42"
CONFIGURED = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://airflow:data%2Fbase-word@db:5432/airflow",
    "AIRFLOW__CORE__FERNET_KEY": "first-fernet-key, second-fernet-key",
    "AIRFLOW__API_AUTH__JWT_SECRET": "signing-of-airflow",
    "AIRFLOW__API__SECRET_KEY": "key-of-the-pages",
    "AIRFLOW__CELERY__BROKER_URL": "sentinel://:broker-word@one:26379;sentinel://:other-word@two:26379",
    "AIRFLOW__CELERY__RESULT_BACKEND": "db+postgresql://airflow:result-word@db/airflow",
}


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestForms:
    @pytest.mark.parametrize(
        "written",
        [
            SECRET,
            json.dumps(SECRET),
            json.dumps(SECRET, ensure_ascii=False),
            quote(SECRET),
            quote(SECRET, safe=""),
            quote_plus(SECRET),
            in_base64(SECRET),
            base64.urlsafe_b64encode(SECRET.encode()).decode(),
            in_base64(f"{SECRET}\nand more"),
        ],
    )
    def test_a_secret_is_found_however_it_is_written(self, written):
        redactor = Redactor([SECRET])
        text = redactor.text(f"before {written} after {written}.")
        assert text.count(MASK) == 2
        assert len(text) < len(f"before {written} after .")
        assert redactor.part(f"<{written}>".encode()) == redactor.text(f"<{written}>").encode()

    def test_a_document_stays_one(self):
        structure = 'name":"value'
        document = json.dumps({"name": "value", "given": structure}, separators=(",", ":")).encode()
        assert json.loads(Redactor([structure]).json(document)) == {"name": "value", "given": MASK}

    def test_what_is_short_may_be_a_word(self):
        assert Redactor(["airflow", ""]).text("airflow reads airflow") == "airflow reads airflow"
        assert Redactor(["airflow!"]).text("airflow!") == MASK

    def test_the_longest_goes_first(self):
        assert Redactor(["password", "db://password@host"]).text("db://password@host") == MASK

    def test_a_text_without_secrets_is_the_same_object(self):
        text, raw = "nothing in here", b"nothing in here"
        redactor = Redactor([SECRET])
        assert redactor.text(text) is text
        assert redactor.part(raw) is raw
        assert redactor.json(raw) is raw


class TestSecrets:
    def test_those_of_the_configuration_are_known(self, monkeypatch):
        for name, value in CONFIGURED.items():
            monkeypatch.setenv(name, value)
        known = redaction.of_installation(Settings())
        words = ["first-fernet-key", "second-fernet-key", "signing-of-airflow", "key-of-the-pages"]
        words += ["data%2Fbase-word", "data/base-word", "broker-word", "other-word", "result-word"]
        words += [CONFIGURED["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]]
        assert {word: known.text(word) for word in words} == dict.fromkeys(words, MASK)
        assert known.text("airflow at db:5432, sentinel two") == "airflow at db:5432, sentinel two"

    def test_those_of_this_service_are_known(self):
        digest = "sha256:" + "0" * 64
        tokens = (HeaderToken("a", "admin", "clear-header-token"), HeaderToken("b", "admin", digest))
        known = redaction.of_installation(Settings(jwt_secret="a-secret-of-our-own", http_tokens=tokens))
        assert known.text("clear-header-token a-secret-of-our-own") == f"{MASK} {MASK}"
        assert known.text(digest) == digest

    def test_an_address_that_is_none_is_passed_over(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://[broken")
        assert redaction.of_installation(Settings()).text("redis://[broken") == "redis://[broken"

    def test_a_users_password_is_no_secret_of_the_installation(self):
        assert redaction.of_installation(Settings()).text("admin-password") == "admin-password"


class TestLogin:
    """A login that is malformed is told about its fields, never about their values."""

    WORD = "hunter2-hunter2"

    @pytest.mark.parametrize(
        "change",
        [
            {"password": [WORD]},
            {"password": {"a": WORD}},
            {"password": WORD * 100},
            {"password": f"{WORD}\0"},
            {"provider": WORD},
            {"refresh": WORD},
            {"username": [WORD]},
            {"username": WORD * 100},
            {"refresh_token": WORD},
        ],
        ids=str,
    )
    def test_a_value_of_another_shape_is_not_repeated(self, rest, change, caplog):
        body = {"username": "admin", "password": self.WORD, **change}
        response = rest.post("/security/login", json=body, role=None)
        assert response.status_code == 400
        assert self.WORD not in response.text
        assert self.WORD not in caplog.text

    def test_a_body_that_is_no_json_is_not_repeated(self, rest):
        headers = {"content-type": "application/json"}
        for raw in (self.WORD, f'{{"password": {self.WORD}}}', f'{{"password": "{self.WORD}\n"}}'):
            response = rest.post("/security/login", content=raw, headers=headers, role=None)
            assert (response.status_code, self.WORD in response.text) == (400, False)

    def test_a_validator_that_repeats_values_is_seen(self, rest, monkeypatch):
        from airflow_rest_api.web import schemas

        monkeypatch.setattr(schemas, "_described", lambda error, pointer: (pointer, error.message))
        response = rest.post(
            "/security/login", json={"username": "admin", "password": [self.WORD]}, role=None
        )
        assert self.WORD in response.text
