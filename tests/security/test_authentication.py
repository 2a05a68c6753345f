"""Who is calling: every credential that a request may carry, and how long it is believed."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_rest_api.security import auth_manager, authentication
from airflow_rest_api.security.access_tokens import AccessTokens
from airflow_rest_api.security.authentication import Authenticator, Credentials, presented
from airflow_rest_api.services import errors
from airflow_rest_api.settings import HeaderToken, Settings
from tests.security import issuers
from tests.support import clients
from tests.web.small import operation

HEADER = "rest_api_plugin_http_token"
GUARDED = {"security": [{"bearer": []}, {"httpToken": []}]}
SHA = hashlib.sha256(b"op-token").hexdigest()
TOKENS = f"ci:user:ci-token,deploy:op:sha256:{SHA},viewer-token,ümlaut:viewer:schlüssel"


@pytest.fixture
def me(build, rest):
    """`me(header=value, …)`: what a request with these headers is answered; the name of the caller, if it has one."""
    client = build(
        {"/me": {"get": operation("get_me", answer={"type": "array"}, **GUARDED)}},
        {"get_me": lambda caller: [caller.id, caller.name]},
        http_token=TOKENS,
        http_token_user="viewer",
    )

    def ask(query="", **headers):
        named = [(name.replace("__", "-").encode(), value.encode()) for name, value in headers.items()]
        return client.get(f"me{query}", headers=named)

    ask.client = client
    return ask


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class TestHeaderTokens:
    @pytest.mark.parametrize(
        ("value", "name"),
        [("ci-token", "user"), ("op-token", "op"), ("viewer-token", "viewer"), ("schlüssel", "viewer")],
    )
    def test_a_token_acts_as_its_user(self, me, value, name):
        assert me(**{HEADER: value}).json() == [name, name]

    @pytest.mark.parametrize(
        "spelling", ["rest-api-plugin-http-token", "REST_API_PLUGIN_HTTP_TOKEN", "Rest-Api_Plugin-Http_Token"]
    )
    def test_the_header_is_known_in_every_spelling(self, me, spelling):
        assert me.client.get("me", headers={spelling: "ci-token"}).json() == ["user", "user"]

    @pytest.mark.parametrize(
        "value", ["", "ci", "ci-toke", "ci-token ci-token", SHA, f"sha256:{SHA}", "ci:user:ci-token"]
    )
    def test_another_value_is_refused(self, me, value):
        response = me(**{HEADER: value})
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    def test_two_of_one_user_are_one_user(self, me):
        headers = [(HEADER, "viewer-token"), (HEADER.replace("_", "-"), "schlüssel".encode())]
        assert me.client.get("me", headers=headers).json() == ["viewer", "viewer"]

    def test_two_of_different_users_are_malformed(self, me):
        response = me.client.get("me", headers=[(HEADER, "ci-token"), (HEADER, "op-token")])
        assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (400, "two-users")

    def test_the_query_is_no_place_for_a_token(self, me):
        for query in (f"?{HEADER}=ci-token", "?access_token=ci-token"):
            assert me(query).status_code == 401
            assert me(query, **{HEADER: "ci-token"}).json()["detail"].startswith("Unknown query parameter")

    def test_a_header_of_another_name_can_be_set(self, build):
        client = build(
            {"/me": {"get": operation("get_me", answer={"type": "array"}, **GUARDED)}},
            {"get_me": lambda caller: [caller.id]},
            http_token="ci:user:ci-token",
            http_token_header="X-Our-Token",
        )
        assert client.get("me", headers={"x_our_token": "ci-token"}).json() == ["user"]
        assert client.get("me", headers={HEADER: "ci-token"}).status_code == 401

    def test_it_is_ignored_where_no_token_is_configured(self, build, token):
        client = build(
            {"/me": {"get": operation("get_me", answer={"type": "array"}, **GUARDED)}},
            {"get_me": lambda caller: [caller.id]},
        )
        for value in ("", "None", "ci-token"):
            assert client.get("me", headers={HEADER: value, **bearer(token("op"))}).json() == ["op"]
            alone = client.get("me", headers={HEADER: value})
            assert (alone.status_code, alone.json()["detail"]) == (401, "No credential was presented.")

    def test_a_user_who_is_gone_takes_the_token_along(self, me, monkeypatch):
        monkeypatch.setattr(authentication, "REMEMBER_SECONDS", 0)
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin")
        assert me(**{HEADER: "ci-token"}).status_code == 401


class TestBearer:
    @pytest.mark.parametrize(
        "value", ["Basic YWRtaW46YWRtaW4=", "Bearer", "Bearer ", "bearertoken", "", "Token x", "Bearer a b"]
    )
    def test_what_is_no_bearer_token_is_refused(self, me, value):
        assert me(Authorization=value).status_code == 401

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_is_known_in_every_case(self, me, token, scheme):
        assert me(Authorization=f"{scheme} {token('op')}").json() == ["op", "op"]

    def test_two_authorizations_are_refused(self, me, token):
        headers = [("Authorization", f"Bearer {token('op')}")] * 2
        assert me.client.get("me", headers=headers).status_code == 401

    def test_no_cookie_is_a_credential(self, me, token):
        for name in ("_token", "session", "access_token_cookie", "Authorization", HEADER):
            response = me(Cookie=f"{name}={token('admin')}")
            assert response.status_code == 401, name
            assert "set-cookie" not in response.headers

    def test_a_refresh_token_is_no_credential(self, me, restored_database):
        assert me(**bearer(issuers.refresh_tokens().issue({"sub": "op"}, "op").token)).status_code == 401

    def test_a_revoked_token_of_airflows_is_refused(self, rest, monkeypatch):
        from airflow.models.revoked_token import RevokedToken

        monkeypatch.setattr(RevokedToken, "is_revoked", lambda *_, **__: True)
        good = clients.Tokens()("op")
        with pytest.raises(errors.Unauthenticated):
            auth_manager.user_from_airflow_token(good)

    def test_an_expired_token_of_airflows_is_called_so(self, rest, monkeypatch):
        user = auth_manager.user_by_name("op")
        expired = auth_manager.manager().generate_jwt(user, expiration_time_in_seconds=-600)
        with pytest.raises(errors.Unauthenticated, match="expired"):
            auth_manager.user_from_airflow_token(expired)


class TestSeveral:
    def test_all_have_to_name_one_user(self, me, token):
        assert me(**bearer(token("user")), **{HEADER: "ci-token"}).json() == ["user", "user"]
        response = me(**bearer(token("op")), **{HEADER: "ci-token"})
        assert response.status_code == 400
        assert "op" not in response.json()["detail"].split()

    def test_all_have_to_be_valid(self, me, token):
        assert me(**bearer(token("user")), **{HEADER: "wrong"}).status_code == 401
        assert me(**bearer("x.y.z"), **{HEADER: "ci-token"}).status_code == 401
        assert me(Authorization="Basic x", **{HEADER: "ci-token"}).status_code == 401


class TestMemory:
    @pytest.fixture
    def clock(self, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(authentication.time, "monotonic", lambda: now[0])
        return now

    @pytest.fixture
    def authenticator(self, rest):
        settings = Settings(http_tokens=(HeaderToken("ci", "user", "ci-token"),))
        return Authenticator(settings, issuers.keys(), issuers.access_tokens())

    def test_a_caller_is_remembered_for_five_seconds(self, authenticator, clock):
        credentials = Credentials(None, ("ci-token",))
        assert authenticator.remembered(credentials) is None
        caller = authenticator.identify(credentials)
        clock[0] += 4.9
        assert authenticator.remembered(credentials) is caller
        clock[0] += 0.2
        assert authenticator.remembered(credentials) is None

    def test_a_token_is_not_remembered_beyond_its_end(self, authenticator, clock, monkeypatch):
        claims = auth_manager.claims_of(auth_manager.user_by_name("op"))
        token = issuers.access_tokens().issue(claims)
        end = datetime.now(timezone.utc) + timedelta(seconds=1)
        said = replace(issuers.access_tokens().verify(token), expires_at=end)
        monkeypatch.setattr(AccessTokens, "verify", lambda self, token: said)
        credentials = Credentials(token)
        authenticator.identify(credentials)
        assert authenticator.remembered(credentials)
        clock[0] += 1.1
        assert authenticator.remembered(credentials) is None

    def test_a_change_of_role_is_known_within_five_seconds(self, rest, authenticator, clock, monkeypatch):
        token = issuers.access_tokens().issue(auth_manager.claims_of(auth_manager.user_by_name("op")))
        assert authenticator.identify(Credentials(token)).user.role == "op"
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin,op:viewer")
        assert authenticator.remembered(Credentials(token)).user.role == "op"
        clock[0] += 5.1
        assert authenticator.remembered(Credentials(token)) is None
        assert authenticator.identify(Credentials(token)).user.role == "viewer"
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin")
        with pytest.raises(errors.Unauthenticated, match="gone or inactive"):
            authenticator.identify(Credentials(token))

    def test_claims_that_airflow_cannot_read_are_nobody(self, rest):
        with pytest.raises(errors.Unauthenticated, match="gone or inactive"):
            auth_manager.user_from_claims({})

    def test_a_refusal_is_not_remembered(self, authenticator):
        credentials = Credentials(None, ("wrong",))
        for _ in range(2):
            with pytest.raises(errors.Unauthenticated):
                authenticator.identify(credentials)
            assert authenticator.remembered(credentials) is None

    def test_nothing_secret_is_shown(self, authenticator):
        credentials = Credentials("bearer-secret", ("header-secret",))
        assert "secret" not in repr(credentials)
        caller = authenticator.identify(Credentials(None, ("ci-token",)))
        assert "ci-token" not in repr(caller) + repr(authenticator)


class TestPresented:
    def test_what_is_not_there_is_nothing(self):
        assert not presented([(b"accept", b"*/*")], HEADER)

    def test_equal_header_tokens_are_one(self):
        headers = [(HEADER.encode(), b"a"), (HEADER.replace("_", "-").encode(), b"a")]
        assert presented(headers, HEADER) == Credentials(None, ("a",))


class TestStart:
    def test_another_auth_manager_is_not_taken_over(self, rest, monkeypatch):
        monkeypatch.setattr(auth_manager, "create_auth_manager", object)
        with pytest.raises(RuntimeError, match="changed"):
            auth_manager.start(standalone=False)

    def test_a_failed_login_is_not_logged_with_its_password(self, rest, caplog):
        caplog.set_level(logging.DEBUG)
        rest.post("/security/login", json={"username": "admin", "password": "hunter2"}, role=None)
        assert "hunter2" not in caplog.text
