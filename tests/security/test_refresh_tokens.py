"""Refresh tokens: what becomes of one, of a repetition, and of a theft."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select

from airflow_rest_api.security import refresh_tokens, revocations
from airflow_rest_api.security.refresh_tokens import InvalidRefreshToken
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.services.token_refusals import TokenRevoked
from airflow_rest_api.storage.tables import refresh_token as table
from tests.security import issuers

ADMIN = {"username": "admin", "password": "admin-password"}
CLAIMS = {"sub": "admin", "role": "ADMIN"}


@pytest.fixture
def issuer(rest):
    return issuers.refresh_tokens()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: `clock(seconds)` moves it."""
    now = [datetime(2030, 1, 1, tzinfo=timezone.utc)]
    monkeypatch.setattr(refresh_tokens, "_now", lambda: now[0])

    def move(seconds):
        now[0] += timedelta(seconds=seconds)

    return move


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
        token = issuer.issue(CLAIMS, "admin").token
        successor = issuer.rotate(token)
        assert successor.user_claims == CLAIMS
        clock(refresh_tokens.REUSE_GRACE.total_seconds())
        assert issuer.rotate(token) == successor
        assert issuer.rotate(successor.token).token not in (token, successor.token)

    def test_a_repetition_after_the_grace_ends_the_family(self, issuer, clock, restored_database):
        token = issuer.issue(CLAIMS, "admin").token
        other = issuer.issue(CLAIMS, "admin").token
        successor = issuer.rotate(token).token
        clock(refresh_tokens.REUSE_GRACE.total_seconds() + 1)
        for ended in (token, successor, token):
            with pytest.raises(InvalidRefreshToken):
                issuer.rotate(ended)
        assert issuer.rotate(other)

    def test_a_theft_ends_the_access_tokens_that_came_of_the_login(self, rest, first, monkeypatch):
        def status(token):
            return rest.get("/dags", role=None, headers={"Authorization": f"Bearer {token}"}).status_code

        renewed = self.refresh(rest, first["refresh_token"]).json()
        monkeypatch.setattr(refresh_tokens, "REUSE_GRACE", timedelta(0))
        assert self.refresh(rest, first["refresh_token"]).status_code == 401
        assert [status(answer["access_token"]) for answer in (first, renewed)] == [401, 401]
        assert self.refresh(rest, renewed["refresh_token"]).status_code == 401

    def test_two_who_notice_the_theft_at_once_are_both_refused(self, issuer, monkeypatch):
        def lost_the_race(_):
            raise errors.AlreadyExists("The family has been ended.")

        monkeypatch.setattr(refresh_tokens, "write", lost_the_race)
        with pytest.raises(InvalidRefreshToken):
            issuer.rotate("spent")

    def test_two_who_notice_it_at_the_old_address_are_refused_as_well(
        self, issuer, clock, monkeypatch, restored_database
    ):
        def lost_the_race(_):
            raise errors.AlreadyExists("The family has been ended.")

        token = issuer.issue(CLAIMS, "admin").token
        assert issuer.verify(token).user_claims == CLAIMS
        issuer.rotate(token)
        clock(refresh_tokens.REUSE_GRACE.total_seconds() + 1)
        monkeypatch.setattr(refresh_tokens, "write", lost_the_race)
        with pytest.raises(TokenRevoked):
            issuer.verify(token)

    def test_a_family_that_ends_during_a_rotation_has_no_descendant(self, issuer, restored_database):
        """The successor is stored after the family was ended: nobody gets anything for it."""
        first = issuer.issue(CLAIMS, "admin")
        successor = issuer.rotate(first.token)
        with unit_of_work() as session:
            until = datetime.now(timezone.utc) + issuer.life
            revocations.revoke(session, revocations.family(first.family_id), until)
        for token in (successor.token, first.token):
            with pytest.raises(InvalidRefreshToken):
                issuer.rotate(token)

    def test_it_expires(self, issuer, clock, restored_database):
        token = issuer.issue(CLAIMS, "admin").token
        clock(30 * 86400 - 1)
        successor = issuer.rotate(token).token
        clock(2)
        with pytest.raises(InvalidRefreshToken):
            issuer.rotate(token)
        assert issuer.rotate(successor)

    def test_what_has_expired_is_forgotten(self, issuer, clock, restored_database):
        issuer.issue(CLAIMS, "admin")
        clock(31 * 86400)
        issuer.issue(CLAIMS, "admin")
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(table)) == 1

    def test_who_is_no_user_any_more_gets_nothing(self, rest, first, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "op:op")
        assert self.refresh(rest, first["refresh_token"]).status_code == 401

    def successors(self, rest, token, callers=100):
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
