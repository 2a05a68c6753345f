"""Login, this service's tokens, and what becomes of a refresh token."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import jwt
import pytest
from sqlalchemy import func, select

from airflow_rest_api.security import auth_manager, tokens
from airflow_rest_api.security.tokens import InvalidRefreshToken, Tokens
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.settings import Settings
from airflow_rest_api.storage.tables import refresh_token as table

ADMIN = {"username": "admin", "password": "admin-password"}
CLAIMS = {"sub": "admin", "role": "ADMIN"}


@pytest.fixture
def issuer(rest):
    return Tokens(Settings())


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: `clock(seconds)` moves it."""
    now = [datetime(2030, 1, 1, tzinfo=timezone.utc)]
    monkeypatch.setattr(tokens, "_now", lambda: now[0])

    def move(seconds):
        now[0] += timedelta(seconds=seconds)

    return move


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def key_of(issuer):
    return issuer._application.config["JWT_SECRET_KEY"]


def forged(issuer, *, key=None, headers=None, algorithm="HS256", drop=(), **changed):
    """A token that is right but for what is changed."""
    claims = {**claims_of(issuer.issue_access_token(CLAIMS)), **changed}
    for name in drop:
        del claims[name]
    typ = {"typ": tokens.TOKEN_TYPE, **(headers or {})}
    return jwt.encode(claims, key or key_of(issuer), algorithm, headers=typ)


class TestLogin:
    def test_a_user_gets_an_access_token(self, rest):
        response = rest.post("/security/login", json=ADMIN, role=None)
        assert (response.status_code, list(response.json())) == (200, ["access_token"])
        assert response.headers["cache-control"] == "no-store"
        token = response.json()["access_token"]
        claims = claims_of(token)
        assert {"iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "airflow_user"} <= claims.keys()
        assert (claims["iss"], claims["aud"], claims["sub"]) == (
            "airflow-rest-api",
            "airflow-rest-api",
            "admin",
        )
        assert claims["exp"] - claims["iat"] == 15 * 60
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
        headers = {"Authorization": f"Bearer {token}"}
        assert rest.get("/dags", role=None, headers=headers).status_code == 200

    def test_a_refresh_token_is_given_when_asked_for(self, rest):
        answer = rest.post("/security/login", json={**ADMIN, "refresh": True}, role=None).json()
        assert answer.keys() == {"access_token", "refresh_token"}
        assert len(answer["refresh_token"]) == 43

    def test_who_is_wrong_is_not_told_about_what(self, rest):
        answers = []
        for given in (
            {**ADMIN, "password": "wrong"},
            {"username": "ghost", "password": "wrong"},
            {**ADMIN, "password": "admin-password "},
            {"username": "ADMIN", "password": "admin-password"},
        ):
            response = rest.post("/security/login", json=given, role=None)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            answers.append({**response.json(), "request_id": None})
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["detail"] == "The username or the password is wrong."

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"username": "admin"},
            {"username": "", "password": ""},
            {"username": "a" * 257, "password": "x"},
            {"username": "admin", "password": "x" * 1025},
            {"username": "admin\0", "password": "x"},
            {**ADMIN, "provider": "facebook"},
            {**ADMIN, "refresh": "yes"},
            {**ADMIN, "otp": "123456"},
            {"username": ["admin"], "password": {"a": 1}},
        ],
    )
    def test_a_login_of_another_shape_is_malformed(self, rest, body):
        assert rest.post("/security/login", json=body, role=None).status_code == 400

    def test_the_password_may_be_any_text(self, rest):
        for password in ("ß€😀", "\ufeff", "x" * 1024):
            given = {"username": "admin", "password": password}
            assert rest.post("/security/login", json=given, role=None).status_code == 401

    def test_nobody_logs_in_with_an_empty_password(self, rest, monkeypatch):
        manager = type(auth_manager.manager())
        monkeypatch.setattr(manager, "get_passwords", staticmethod(lambda: {"admin": ""}))
        with pytest.raises(auth_manager.LoginFailed):
            auth_manager.log_in("admin", "", "db")

    def test_with_everybody_an_admin_anybody_logs_in(self, rest, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        user = auth_manager.log_in("anybody", "anything", "db")
        assert (user.get_name(), user.role) == ("Anonymous", "ADMIN")
        assert auth_manager.user_from_claims(auth_manager.claims_of(user)).get_name() == "Anonymous"

    def test_another_managers_login_is_its_own(self, rest, monkeypatch):
        class OtherManager:
            pass

        monkeypatch.setattr(auth_manager, "get_auth_manager", OtherManager)
        with pytest.raises(auth_manager.LoginNotSupported) as refusal:
            auth_manager.log_in("admin", "x", "db")
        assert "'OtherManager' has its own login" in refusal.value.detail
        assert auth_manager.user_by_name("admin") is None

    def test_the_old_address_answers_the_same(self, rest):
        response = rest.http.post("/api/v1/security/login", json={**ADMIN, "provider": "db", "refresh": True})
        assert response.json().keys() == {"access_token", "refresh_token"}


class TestAccessTokens:
    def test_a_token_names_its_user(self, issuer):
        claims, expires = issuer.user_claims(issuer.issue_access_token(CLAIMS))
        assert claims == CLAIMS
        assert timedelta(minutes=14) < expires - datetime.now(timezone.utc) <= timedelta(minutes=15)

    def test_the_forgery_is_right_but_for_what_is_changed(self, issuer):
        assert issuer.user_claims(forged(issuer))[0] == CLAIMS

    @pytest.mark.parametrize(
        "claim", ["iss", "aud", "exp", "iat", "nbf", "jti", "sub", "type", "airflow_user"]
    )
    def test_no_claim_may_be_missing(self, issuer, claim):
        with pytest.raises(errors.Unauthenticated):
            issuer.user_claims(forged(issuer, drop=[claim]))

    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": "airflow"},
            {"aud": "apache-airflow"},
            {"aud": None},
            {"exp": 1},
            {"exp": "soon"},
            {"nbf": 4_000_000_000},
            {"type": "refresh"},
            {"type": None},
            {"airflow_user": "admin"},
            {"airflow_user": None},
            {"sub": 1},
        ],
        ids=str,
    )
    def test_no_claim_may_be_another(self, issuer, changed):
        with pytest.raises(errors.Unauthenticated):
            issuer.user_claims(forged(issuer, **changed))

    def test_an_expired_token_is_called_so(self, issuer):
        with pytest.raises(errors.Unauthenticated, match="expired"):
            issuer.user_claims(forged(issuer, exp=int(time.time()) - 1))

    def test_a_foreign_or_changed_token_is_refused_by_every_door(self, issuer, rest):
        good = issuer.issue_access_token(CLAIMS)
        head, body, signature = good.split(".")
        claims = json.dumps({**claims_of(good), "sub": "op"}).encode()
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
        other_body = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
        for token in (
            forged(issuer, key="x" * 64),
            forged(issuer, algorithm="HS512"),
            forged(issuer, headers={"typ": "JWT"}),
            forged(issuer, headers={"typ": None}),
            f"{head}.{other_body}.{signature}",
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{none}.{body}.",
            f"{head}.{body}",
            f"{head}.{body}.",
            "..",
            "a.b.c",
            "x" * 5000,
        ):
            response = rest.get("/dags", role=None, headers={"Authorization": f"Bearer {token}"})
            assert response.status_code == 401, token
            assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_the_two_services_do_not_take_each_others_kind(self, issuer, rest, v2, token):
        """Airflow's token is good for both services; ours is good for ours alone, and signed with another key."""
        ours = {"Authorization": f"Bearer {issuer.issue_access_token(CLAIMS)}"}
        assert rest.get("/dags", role=None, headers=ours).status_code == 200
        assert v2.get("/dags", role=None, headers=ours).status_code in (401, 403)
        theirs = {"Authorization": f"Bearer {token('admin')}"}
        assert rest.get("/dags", role=None, headers=theirs).status_code == 200
        assert not issuer.is_own(token("admin"))
        with pytest.raises(errors.Unauthenticated):
            issuer.user_claims(token("admin"))

    def test_the_keys_differ_from_airflows_and_from_each_other(self, issuer):
        import os

        secret = os.environ["AIRFLOW__API_AUTH__JWT_SECRET"]
        assert len({secret, key_of(issuer), issuer._refresh_key.hex()}) == 3
        signed = forged(issuer, key=secret)
        with pytest.raises(errors.Unauthenticated):
            issuer.user_claims(signed)

    def test_a_secret_of_ones_own_can_be_set(self, issuer):
        other = Tokens(Settings(jwt_secret="s" * 32))
        assert key_of(other) != key_of(issuer)
        with pytest.raises(errors.Unauthenticated):
            issuer.user_claims(other.issue_access_token(CLAIMS))

    def test_the_life_of_a_token_is_a_setting(self, rest):
        claims = claims_of(Tokens(Settings(access_token_minutes=1)).issue_access_token(CLAIMS))
        assert claims["exp"] - claims["iat"] == 60


class TestRefresh:
    @pytest.fixture
    def first(self, rest, restored_database):
        return rest.post("/security/login", json={**ADMIN, "refresh": True}, role=None).json()

    def refresh(self, rest, token, **options):
        return rest.post(
            "/security/refresh", role=None, headers={"Authorization": f"Bearer {token}"}, **options
        )

    def test_both_tokens_are_renewed(self, rest, first):
        response = self.refresh(rest, first["refresh_token"])
        assert response.status_code == 200
        assert response.json().keys() == {"access_token", "refresh_token"}
        assert response.json()["refresh_token"] != first["refresh_token"]
        headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
        assert rest.get("/dags", role=None, headers=headers).status_code == 200
        assert self.refresh(rest, response.json()["refresh_token"]).status_code == 200

    def test_the_body_may_carry_it(self, rest, first):
        response = rest.post("/security/refresh", role=None, json={"refresh_token": first["refresh_token"]})
        assert response.status_code == 200

    @pytest.mark.parametrize("options", [{}, {"json": {}}])
    def test_without_it_the_call_is_malformed(self, rest, options):
        response = rest.post("/security/refresh", role=None, **options)
        assert response.status_code == 400
        assert response.json()["type"].endswith(":refresh-token-missing")

    @pytest.mark.parametrize("unknown", ["x", "x" * 43, "x" * 256])
    def test_an_unknown_one_is_refused(self, rest, unknown):
        assert self.refresh(rest, unknown).status_code == 401
        assert rest.post("/security/refresh", role=None, json={"refresh_token": unknown}).status_code == 401

    def test_the_two_kinds_do_not_stand_in_for_each_other(self, rest, first, v2):
        for service in (rest, v2):
            headers = {"Authorization": f"Bearer {first['refresh_token']}"}
            assert service.get("/dags", role=None, headers=headers).status_code in (401, 403)
        assert self.refresh(rest, first["access_token"]).status_code == 401

    def test_it_is_not_stored_to_the_letter(self, rest, first):
        with unit_of_work() as session:
            stored = str(session.execute(select(table)).all())
        assert first["refresh_token"] not in stored
        assert "admin" in stored

    def test_a_repetition_within_the_grace_gets_the_same_successor(self, issuer, clock, restored_database):
        token = issuer.issue_refresh_token(CLAIMS, "admin")
        successor, claims = issuer.rotate(token)
        assert claims == CLAIMS
        clock(tokens.REUSE_GRACE.total_seconds())
        assert issuer.rotate(token)[0] == successor
        assert issuer.rotate(successor)[0] not in (token, successor)

    def test_a_repetition_after_the_grace_ends_the_family(self, issuer, clock, restored_database):
        token = issuer.issue_refresh_token(CLAIMS, "admin")
        other = issuer.issue_refresh_token(CLAIMS, "admin")
        successor, _ = issuer.rotate(token)
        clock(tokens.REUSE_GRACE.total_seconds() + 1)
        for ended in (token, successor, token):
            with pytest.raises(InvalidRefreshToken):
                issuer.rotate(ended)
        assert issuer.rotate(other)

    def test_it_expires(self, issuer, clock, restored_database):
        token = issuer.issue_refresh_token(CLAIMS, "admin")
        clock(30 * 86400 - 1)
        successor, _ = issuer.rotate(token)
        clock(2)
        with pytest.raises(InvalidRefreshToken):
            issuer.rotate(token)
        assert issuer.rotate(successor)

    def test_what_has_expired_is_forgotten(self, issuer, clock, restored_database):
        issuer.issue_refresh_token(CLAIMS, "admin")
        clock(31 * 86400)
        issuer.issue_refresh_token(CLAIMS, "admin")
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1

    def test_who_is_no_user_any_more_gets_nothing(self, rest, first, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "op:op")
        assert self.refresh(rest, first["refresh_token"]).status_code == 401

    def successors(self, rest, token, callers=20):
        with ThreadPoolExecutor(callers) as pool:
            answers = list(pool.map(lambda _: self.refresh(rest, token), range(callers)))
        assert {answer.status_code for answer in answers} == {200}
        with unit_of_work() as session:
            stored = session.scalar(select(func.count()).select_from(table))
        return {answer.json()["refresh_token"] for answer in answers}, stored

    def test_many_at_once_get_one_successor(self, rest, first):
        found, stored = self.successors(rest, first["refresh_token"])
        assert (len(found), stored) == (1, 2)

    @pytest.mark.postgres
    def test_many_at_once_get_one_successor_on_postgresql(self, rest):
        with unit_of_work() as session:
            session.execute(table.delete())
        first = rest.post("/security/login", json={**ADMIN, "refresh": True}, role=None).json()
        found, stored = self.successors(rest, first["refresh_token"])
        assert (len(found), stored) == (1, 2)
