"""A hundred changes at once: none waits in vain for a connection to the database."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.web import small

pytestmark = pytest.mark.slow

CALLERS = 100


def change_all(rest, token, caplog):
    """Let a hundred callers, at once, log in, change a DAG or renew their tokens; return the statuses."""
    login = {"username": "op", "password": "op-password", "refresh": True}
    admin = {"Authorization": f"Bearer {token('admin')}"}
    with small.serving(rest.http.app) as (host, port):
        root = f"http://{host}:{port}/rest_api/v1"

        def change(number):
            with httpx.Client(timeout=60) as http:
                if number % 3 == 0:
                    answer = http.post(f"{root}/security/login", json=login)
                    assert answer.status_code == 200, answer.text
                    spent = {"refresh_token": answer.json()["refresh_token"]}
                    return http.post(f"{root}/security/refresh", json=spent)
                if number % 3 == 1:
                    run = {"logical_date": None, "dag_run_id": f"parallel-{number}"}
                    return http.post(f"{root}/dags/manual/dagRuns", json=run, headers=admin)
                return http.patch(f"{root}/dags/manual", json={"is_paused": number % 2 == 0}, headers=admin)

        with ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(change, range(CALLERS)))
    assert "QueuePool" not in caplog.text
    return Counter(answer.status_code for answer in answers)


@pytest.mark.in_process
class TestHundredChanges:
    def test_all_succeed_on_sqlite(self, rest, token, caplog, restored_database):
        assert change_all(rest, token, caplog) == {200: CALLERS}

    @pytest.mark.postgres
    def test_all_succeed_on_postgresql(self, rest, token, caplog):
        assert change_all(rest, token, caplog) == {200: CALLERS}

    @pytest.mark.postgres
    def test_afterwards_every_connection_is_back(self, rest, token, caplog):
        from airflow import settings

        for number in range(20):
            rest.patch("/dags/manual", json={"is_paused": number % 2 == 0})
        assert settings.engine.pool.checkedout() == 0
