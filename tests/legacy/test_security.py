"""The old login, over HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import jwt
import pytest
from sqlalchemy import func, select, update

from airflow_rest_api.security import auth_manager, refresh_tokens
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.storage.tables import refresh_token as table
from tests.security import issuers

LOGIN_AT, REFRESH_AT = "/api/v1/security/login", "/api/v1/security/refresh"
LOGIN = {"username": "op", "password": "op-password", "provider": "db"}
JSON = {"Content-Type": "application/json"}
NOT_JSON, MISSING = "Request payload is not JSON", "Missing required parameter"
BAD_HEADER = "Bad Authorization header. Expected value 'Bearer <JWT>'"


def told(answer, name="message"):
    """The status and the one sentence of an error."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {name}, answer.text
    return answer.status_code, answer.json()[name]


def works(rest, token):
    """What a call of version 1 answers that a token is sent with."""
    return rest.get("/dags", role=None, headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.fixture
def first(rest, restored_database):
    """The two tokens of a login."""
    return rest.http.post(LOGIN_AT, json={**LOGIN, "refresh": True}).json()


class TestLogin:
    @pytest.mark.parametrize(
        ("refresh", "names"),
        [(None, {"access_token"}), (False, {"access_token"}), (True, {"access_token", "refresh_token"})],
    )
    def test_the_tokens_are_good_for_version_1(self, rest, refresh, names, restored_database):
        body = LOGIN if refresh is None else {**LOGIN, "refresh": refresh}
        answer = rest.http.post(LOGIN_AT, json=body)
        assert (answer.status_code, set(answer.json())) == (200, names)
        assert answer.headers["deprecation"].startswith("@")
        assert answer.headers["link"].partition(">")[0].endswith("/rest_api/v1/ui/#/Security/login")
        assert works(rest, answer.json()["access_token"]) == 200

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Accept": "application/json; charset=utf-8", "Content-Type": "application/merge-patch+json"}],
    )
    def test_a_byte_order_mark_and_json_by_another_name_are_read(self, rest, headers):
        text = b"\xef\xbb\xbf" + json.dumps(LOGIN).encode()
        answer = rest.http.post(
            LOGIN_AT, content=text, headers={"Content-Type": "application/json", **headers}
        )
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("value", ["true", "yes", "1", 1, True, 0, "", None, False], ids=repr)
    def test_refresh_is_on_for_every_true_value(self, rest, value, restored_database):
        answer = rest.http.post(LOGIN_AT, json={**LOGIN, "refresh": value})
        assert (answer.status_code, "refresh_token" in answer.json()) == (200, bool(value))

    def test_what_it_does_not_know_does_not_bother_it(self, rest):
        answer = rest.http.post(f"{LOGIN_AT}?x=1", json={**LOGIN, "further": [1]})
        assert answer.status_code == 200

    def test_a_wrong_password_is_refused(self, rest):
        answer = rest.http.post(LOGIN_AT, json={**LOGIN, "password": "wrong"})
        assert told(answer) == (401, "Not authorized")
        assert answer.headers["www-authenticate"]

    def test_bodies_are_looked_at_in_the_old_order(self, rest):
        texts = {
            NOT_JSON: [b"", b"{", b"username=op&password=op", b"\xff", b"[" * 100, b'{"username": NaN}'],
            MISSING: [
                *(b"[]", b"7", b"null", b"{}", b'"text"', b'{"provider": "oauth"}'),
                *(
                    b'{"username": "op", "password": "x", "provider": null}',
                    b'{"username": "op", "password": "x", "provider": ""}',
                    b'{"username": 5, "password": 5, "provider": "db"}',
                ),
                *(b'{"username": "", "password": "x", "provider": "db"}',),
                *(b'{"username": null, "password": "x", "provider": "db"}',),
            ],
            "Provider oauth not supported": [b'{"username": "op", "password": "x", "provider": "oauth"}'],
            "Provider DB not supported": [b'{"username": "op", "password": "x", "provider": "DB"}'],
        }
        for text, bodies in texts.items():
            for body in bodies:
                answer = rest.http.post(LOGIN_AT, content=body, headers=JSON)
                assert (told(answer), body) == ((400, text), body)

    def test_another_media_type_is_no_json(self, rest):
        for media_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ):
            answer = rest.http.post(LOGIN_AT, content=b"{}", headers={"Content-Type": media_type})
            assert told(answer) == (400, NOT_JSON)

    def test_a_large_body_is_refused_in_the_old_form(self, rest):
        status, _ = told(rest.http.post(LOGIN_AT, json={**LOGIN, "x": "x" * 5_000_000}))
        assert status == 413

    def test_who_fails_too_often_has_to_wait(self, rest, restored_database):
        answers = [rest.http.post(LOGIN_AT, json={**LOGIN, "password": "x"}) for _ in range(7)]
        status, message = told(answers[-1])
        assert (status, message.startswith("Too many logins have failed")) == (429, True)
        assert int(answers[-1].headers["retry-after"]) >= 1

    @pytest.mark.in_process
    def test_other_errors_are_in_the_same_form(self, rest, monkeypatch):
        faults = {
            auth_manager.LoginNotSupported("There is another login."): (403, "There is another login."),
            errors.DatabaseUnavailable(): (503, errors.DatabaseUnavailable().detail),
            RuntimeError("a secret"): (500, "Fatal error"),
        }
        for fault, expected in faults.items():

            def fail(*_, fault=fault):
                raise fault

            monkeypatch.setattr(auth_manager, "log_in", fail)
            answer = rest.http.post(LOGIN_AT, json=LOGIN)
            assert told(answer) == expected
            assert ("retry-after" in answer.headers) == (answer.status_code == 503)

    def test_other_addresses_and_methods_are_none_of_it(self, rest):
        assert rest.http.get(LOGIN_AT).status_code == 405
        assert rest.http.head(LOGIN_AT).status_code == 405
        assert rest.http.post("/api/v1/security/logout").status_code == 404
        assert (
            rest.http.post("/rest_api/v1/security/login", json={})
            .headers["content-type"]
            .endswith("problem+json")
        )


class TestRefresh:
    def renew(self, rest, token=None, **options):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return rest.http.post(REFRESH_AT, headers=headers, **options)

    def test_the_same_refresh_token_is_good_again_and_again(self, rest, first):
        for _ in range(3):
            answer = self.renew(rest, first["refresh_token"])
            assert (answer.status_code, answer.json().keys()) == (200, {"access_token"})
            assert works(rest, answer.json()["access_token"]) == 200

    def test_a_body_is_not_looked_at(self, rest, first):
        for options in ({"json": {"x": 1}}, {"data": {"x": 1}}, {"content": b"\xff", "params": {"x": 1}}):
            assert self.renew(rest, first["refresh_token"], **options).status_code == 200

    def test_it_can_be_spent_at_the_new_address(self, rest, first):
        assert self.renew(rest, first["refresh_token"]).status_code == 200
        body = {"refresh_token": first["refresh_token"]}
        renewed = rest.post("/security/refresh", role=None, json=body).json()
        assert self.renew(rest, renewed["refresh_token"]).status_code == 200
        # Within the grace it is refused, and nothing is ended.
        assert told(self.renew(rest, first["refresh_token"]), "msg") == (401, "Token has been revoked")
        assert works(rest, renewed["access_token"]) == 200

    @pytest.mark.in_process
    def test_a_spent_one_that_comes_later_ends_the_family(self, rest, first, monkeypatch):
        body = {"refresh_token": first["refresh_token"]}
        renewed = rest.post("/security/refresh", role=None, json=body).json()
        monkeypatch.setattr(refresh_tokens, "REUSE_GRACE", timedelta(0))
        for token in (first["refresh_token"], first["refresh_token"], renewed["refresh_token"]):
            assert told(self.renew(rest, token), "msg") == (401, "Token has been revoked")
        assert works(rest, renewed["access_token"]) == 401

    def test_a_logout_ends_what_was_renewed(self, rest, first):
        renewed = self.renew(rest, first["refresh_token"]).json()["access_token"]
        headers = {"Authorization": f"Bearer {first['access_token']}"}
        assert rest.post("/security/logout", role=None, headers=headers).status_code == 204
        assert works(rest, renewed) == 401
        assert told(self.renew(rest, first["refresh_token"]), "msg") == (401, "Token has been revoked")

    def test_it_expires(self, rest, first):
        past = datetime.now(timezone.utc) - timedelta(seconds=1)
        with unit_of_work() as session:
            session.execute(update(table).values(expires_at=past))
        for token in (first["refresh_token"], "x" * 43):
            assert told(self.renew(rest, token), "msg") == (401, "Token has expired")

    def test_without_a_token(self, rest):
        answer = self.renew(rest)
        assert told(answer, "msg") == (401, "Missing Authorization Header")
        assert answer.headers["www-authenticate"]
        assert answer.headers["link"].partition(">")[0].endswith("/rest_api/v1/ui/#/Security/refresh_token")

    def test_what_is_no_refresh_token_is_told_what_it_is(self, rest, first, token):
        forged = jwt.encode({"sub": "op"}, "x" * 32)
        texts = {
            **dict.fromkeys(["x", "x" * 42, "x" * 5000], "Not enough segments"),
            forged: "Signature verification failed",
            f"{forged.split('.')[0]}.a.c": "Invalid payload padding",
            first["access_token"]: "Only refresh tokens are allowed",
            token("op"): "Only refresh tokens are allowed",
        }
        for given, text in texts.items():
            assert told(self.renew(rest, given), "msg") == (422, text)
        expired = issuers.access_tokens(minutes=-1).issue({"sub": "op", "role": "OP"})
        assert told(self.renew(rest, expired), "msg") == (401, "Token has expired")
        for header in ("Basic b3A6b3A=", "Bearer", "Bearer a b", first["refresh_token"]):
            answer = rest.http.post(REFRESH_AT, headers={"Authorization": header})
            assert told(answer, "msg") == (422, BAD_HEADER)

    @pytest.mark.in_process
    def test_who_is_no_user_any_more_is_told_so(self, rest, first, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin")
        assert told(self.renew(rest, first["refresh_token"]), "msg") == (401, "Error loading the user op")

    @pytest.mark.in_process
    def test_other_errors_are_in_the_form_of_the_login(self, rest, first, monkeypatch):
        def fail(*_):
            raise errors.DatabaseUnavailable

        monkeypatch.setattr(refresh_tokens.RefreshTokens, "verify", fail)
        assert told(self.renew(rest, first["refresh_token"]))[0] == 503

    def test_many_at_once_leave_one_token(self, rest, first):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.renew(rest, first["refresh_token"]), range(16)))
        assert {answer.status_code for answer in answers} == {200}
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1


class TestTheirTokens:
    """What the old calls say to the tokens of the old login."""

    def test_a_good_one_is_taken(self, old, first):
        headers = {"Authorization": f"Bearer {first['access_token']}"}
        assert old("clairvoyant", "version", role=None, headers=headers).json()["status"] == "OK"

    @pytest.mark.in_process
    def test_others_are_told_what_is_wrong_with_them(self, rest, old, first, monkeypatch):
        def said(token, door="ebay"):
            return told(old(door, "version", role=None, headers={"Authorization": f"Bearer {token}"}), "msg")

        claims = {"sub": "op", "role": "OP"}
        expired = issuers.access_tokens(minutes=-1).issue(claims)
        forged = issuers.access_tokens(jwt_secret="x" * 64).issue(claims)
        for door in ("ebay", "clairvoyant"):
            assert said(first["refresh_token"], door) == (422, "Only access tokens are allowed")
            assert said(expired, door) == (401, "Token has expired")
            assert said(forged, door) == (422, "Signature verification failed")
        headers = {"Authorization": f"Bearer {first['access_token']}"}
        assert rest.post("/security/logout", role=None, headers=headers).status_code == 204
        assert said(first["access_token"]) == (401, "Token has been revoked")
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin")
        assert said(issuers.access_tokens().issue(claims)) == (401, "Error loading the user op")
