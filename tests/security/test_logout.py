"""Logout: what it ends, where, and how soon."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import func, select

from airflow_rest_api.security import auth_manager, authentication, revocations
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.storage.tables import revocation as table
from tests.security import issuers

ADMIN = {"username": "admin", "password": "admin-password"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def status(service, token):
    return service.get("/dags", role=None, headers=bearer(token)).status_code


def log_in(rest, **further):
    return rest.post("/security/login", json={**ADMIN, **further}, role=None).json()


def log_out(rest, token):
    return rest.post("/security/logout", role=None, headers=bearer(token))


def refresh(rest, token):
    return rest.post("/security/refresh", role=None, json={"refresh_token": token})


@pytest.fixture
def replica(rest, monkeypatch):
    """A second instance of the service on the same database: `replica("/dags", token)` gives the status."""
    from starlette.testclient import TestClient

    from tests.conftest import application
    from tests.support import clients

    with TestClient(application(), raise_server_exceptions=False) as http:
        yield clients.Client(http, clients.REST, lambda role: role)


@pytest.fixture
def clock(monkeypatch):
    """How long credentials are remembered is measured with this one: `clock(seconds)` moves it."""
    now = [time.monotonic()]

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(authentication, "time", Clock)

    def move(seconds):
        now[0] += seconds

    return move


def ends_everything(rest, replica, clock):
    """Log out of one of two logins; see what is dead where, and what lives on."""
    gone, other = log_in(rest, refresh=True), log_in(rest, refresh=True)
    renewed = refresh(rest, gone["refresh_token"]).json()
    for service in (rest, replica):
        assert status(service, gone["access_token"]) == status(service, renewed["access_token"]) == 200

    answer = log_out(rest, renewed["access_token"])
    assert (answer.status_code, answer.content) == (204, b"")

    tokens = [gone["access_token"], renewed["access_token"]]
    assert [status(rest, token) for token in tokens] == [401, 401]
    clock(authentication.REMEMBER_SECONDS + 0.1)
    assert [status(replica, token) for token in tokens] == [401, 401]
    for token in (gone["refresh_token"], renewed["refresh_token"]):
        assert refresh(rest, token).status_code == refresh(replica, token).status_code == 401
    assert log_out(rest, renewed["access_token"]).status_code == 401

    assert status(rest, other["access_token"]) == status(replica, other["access_token"]) == 200
    assert refresh(replica, other["refresh_token"]).status_code == 200


@pytest.mark.in_process
class TestLogout:
    def test_it_ends_every_token_of_the_login_here_at_once_and_elsewhere_within_five_seconds(
        self, rest, replica, clock, restored_database
    ):
        assert authentication.REMEMBER_SECONDS <= 5
        ends_everything(rest, replica, clock)

    @pytest.mark.postgres
    def test_it_does_on_postgresql_as_well(self, rest, replica, clock):
        ends_everything(rest, replica, clock)

    def test_a_token_without_a_family_ends_alone(self, rest, restored_database):
        first, second = log_in(rest)["access_token"], log_in(rest)["access_token"]
        assert log_out(rest, first).status_code == 204
        assert (status(rest, first), status(rest, second)) == (401, 200)

    def test_the_refusal_says_why(self, rest, restored_database):
        token = log_in(rest)["access_token"]
        log_out(rest, token)
        answer = rest.get("/dags", role=None, headers=bearer(token))
        assert answer.json()["detail"] == "The token was revoked."
        assert answer.headers["www-authenticate"].endswith('error="invalid_token"')

    def test_airflows_own_token_is_ended_for_both_services(self, rest, v2, replica, clock, restored_database):
        token = auth_manager.manager().generate_jwt(auth_manager.user_by_name("op"))
        assert [status(service, token) for service in (rest, replica, v2)] == [200, 200, 200]
        assert log_out(rest, token).status_code == 204
        clock(authentication.REMEMBER_SECONDS + 0.1)
        assert [status(service, token) for service in (rest, replica)] == [401, 401]
        assert status(v2, token) in (401, 403)

    @pytest.mark.postgres
    def test_airflows_own_token_is_ended_on_postgresql_as_well(self, rest, v2, clock):
        token = auth_manager.manager().generate_jwt(auth_manager.user_by_name("op"))
        assert (status(rest, token), log_out(rest, token).status_code, status(rest, token)) == (200, 204, 401)
        assert status(v2, token) in (401, 403)

    def test_a_token_that_airflow_did_not_revoke_is_never_told_to_be_ended(self, rest, token, monkeypatch):
        """Airflow's manager swallows what goes wrong; an id that is too long for its table, for instance."""
        monkeypatch.setattr(type(auth_manager.manager()), "revoke_token", lambda *_: None)
        answer = log_out(rest, token("user"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert status(rest, token("user")) == 200

    def test_a_token_without_an_id_cannot_be_ended(self, rest, monkeypatch):
        monkeypatch.setattr(auth_manager, "_unverified", lambda _: {})
        with pytest.raises(auth_manager.NotRevocable):
            auth_manager.revoke("a.b.c")

    def test_an_ended_token_is_read_by_nobody_who_asked_before(self, rest, restored_database):
        """A check that began before the logout ends after it: its answer is not remembered."""
        authenticator = authentication.Authenticator(
            authentication.Settings(), issuers.keys(), issuers.access_tokens()
        )
        claims = auth_manager.claims_of(auth_manager.user_by_name("op"))
        credentials = authentication.Credentials(issuers.access_tokens().issue(claims))
        known = auth_manager.user_from_claims

        def slow(claims):
            authenticator.forget()
            return known(claims)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(auth_manager, "user_from_claims", slow)
            authenticator.identify(credentials)
        assert authenticator.remembered(credentials) is None
        authenticator.identify(credentials)
        assert authenticator.remembered(credentials)

    def test_what_was_revoked_is_kept_as_long_as_it_could_live(self, rest, restored_database):
        from datetime import datetime, timedelta, timezone

        past = datetime.now(timezone.utc) - timedelta(seconds=1)
        with unit_of_work() as session:
            revocations.revoke(session, revocations.token("a"), past)
            revocations.revoke(session, revocations.token("b"), past)
            revocations.revoke(session, revocations.token("b"), past + timedelta(hours=1))
            revocations.revoke(session, revocations.token("b"), past + timedelta(hours=1))
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1

    def test_two_logouts_at_once_are_one(self, rest, monkeypatch, restored_database):
        def lost_the_race(_):
            raise errors.AlreadyExists("The same row.")

        monkeypatch.setattr("airflow_rest_api.security.sessions.write", lost_the_race)
        assert log_out(rest, log_in(rest)["access_token"]).status_code == 204

    def test_a_logout_that_the_database_refuses_is_none(self, rest, monkeypatch, restored_database):
        def refuse(_):
            raise errors.DatabaseUnavailable

        token = log_in(rest, refresh=True)["access_token"]
        monkeypatch.setattr("airflow_rest_api.security.sessions.write", refuse)
        assert log_out(rest, token).status_code == 503
        assert status(rest, token) == 200

    def test_a_user_who_is_gone_is_refused_within_five_seconds(self, rest, clock, monkeypatch):
        token = log_in(rest)["access_token"]
        assert status(rest, token) == 200
        users = os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].replace("admin:admin,", "")
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", users)
        clock(authentication.REMEMBER_SECONDS + 0.1)
        assert status(rest, token) == 401


class TestHeaderTokens:
    def test_they_belong_to_no_login(self, build, rest):
        from airflow_rest_api.security.login_limits import LoginLimits
        from airflow_rest_api.security.sessions import NothingToLogOut, Sessions
        from airflow_rest_api.services.caller import Caller, Credential

        limits = LoginLimits(issuers.keys())
        sessions = Sessions(issuers.access_tokens(), issuers.refresh_tokens(), limits, lambda: None)
        caller = Caller("op", "op", None, None, Credential("header_token", "f" * 16, "secret"))
        with pytest.raises(NothingToLogOut):
            sessions.logout(caller)


class TestThisTestItself:
    """With a part of the logout taken away, the checks above would be red."""

    def test_without_the_look_at_revocations_the_token_lives_on(self, rest, monkeypatch, restored_database):
        monkeypatch.setattr(authentication, "_require_alive", lambda _: None)
        token = log_in(rest)["access_token"]
        assert (log_out(rest, token).status_code, status(rest, token)) == (204, 200)

    def test_with_a_memory_that_is_kept_the_token_lives_on(self, rest, monkeypatch, restored_database):
        monkeypatch.setattr(
            authentication.Authenticator, "remembered", lambda self, given: self.kept.get(given)
        )
        monkeypatch.setattr(authentication.Authenticator, "kept", {}, raising=False)
        token = log_in(rest)["access_token"]
        known = authentication.Authenticator.identify

        def keep(self, given):
            self.kept[given] = known(self, given)
            return self.kept[given]

        monkeypatch.setattr(authentication.Authenticator, "identify", keep)
        assert status(rest, token) == 200
        assert (log_out(rest, token).status_code, status(rest, token)) == (204, 200)
