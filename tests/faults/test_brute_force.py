"""The target `brute_force`, small, on both databases; and that it can be missed."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

from airflow_rest_api.security import auth_manager, login_limits
from airflow_rest_api.services.database import reading
from tests.faults import brute_force

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("metadata_database")]


def test_ten_guesses_per_user_and_network_reach_the_check():
    figures = brute_force.run(full=False)
    assert figures["guesses"] == 200
    assert figures["reached the password check, most per user and network"] >= 5


@pytest.mark.postgres
def test_ten_guesses_per_user_and_network_reach_the_check_on_postgresql():
    assert brute_force.run(full=False)["guesses"] == 200


def test_a_limit_that_counts_after_the_check_is_noticed(monkeypatch):
    @contextmanager
    def afterwards(limits, username, client):
        buckets = limits._buckets(username, client)
        with reading() as session:
            login_limits._require_open(session, [buckets.name], login_limits._now())
        try:
            yield True
        except auth_manager.LoginFailed:
            login_limits._reserved(buckets)
            raise

    def slow(*told, check=auth_manager.log_in):
        time.sleep(0.1)  # as a password hash
        return check(*told)

    monkeypatch.setattr(login_limits.LoginLimits, "attempt", afterwards)
    monkeypatch.setattr(auth_manager, "log_in", slow)
    monkeypatch.setattr(brute_force, "USERS", ("admin",))
    monkeypatch.setattr(brute_force, "ATTACKERS", ("127.0.0.2",))
    with pytest.raises(AssertionError, match=r"reached the password check|not answered with 401"):
        brute_force.run(full=False)


def test_a_refusal_without_retry_after_is_noticed(monkeypatch):
    from airflow_rest_api.web import problems

    monkeypatch.setattr(problems, "_headers", lambda refusal: {})
    with pytest.raises(AssertionError, match="without Retry-After"):
        brute_force.run(full=False)
