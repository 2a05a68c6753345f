"""The rows of powers on PostgreSQL; with Flask-AppBuilder as the auth manager they are in `test_fab_powers.py`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment

# In a process of its own: Flask-AppBuilder's models are imported there alone.
PROBE = """
from concurrent.futures import ThreadPoolExecutor
from airflow_rest_api.security import fab_grants, powers
from tests.security import fab_powers
from airflow.providers.fab.auth_manager import models
from airflow.utils.session import create_session
from sqlalchemy import select

with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: fab_grants.create_missing(powers.RESOURCES.values()), range(4)))
with create_session(scoped=False) as session:
    role = session.scalars(select(models.Role.id).where(models.Role.name == "Admin")).one()
held = [fab_grants.is_held([role], resource) for resource in powers.RESOURCES.values()]
print(len(fab_powers.rows()), held, fab_grants.is_held([role], "Users"), fab_grants.is_held([], "REST API Test"))
"""


@pytest.mark.postgres
def test_postgresql_takes_them_too(postgres_url, tmp_path):
    variables = environment.prepare(tmp_path, postgres_url) | {"PYTHONPATH": str(environment.ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE],
        env=environment.inherited() | variables,
        cwd=environment.ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == "5 [True, True, True, True, True] False False"
