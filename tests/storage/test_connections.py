"""The pool of a process of our own keeps what it opens."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment

PROBE = """
from airflow import settings
from airflow_rest_api.storage import connections
before = settings.engine
connections.keep_open()
pool = settings.engine.pool
print("POOL", type(pool).__name__, getattr(pool, "size", int)(), getattr(pool, "_max_overflow", 0))
print("SAME", settings.engine is before)
with settings.engine.connect() as connection:
    connection.exec_driver_sql("SELECT 1")
"""


def pool_after(home, **options: str) -> list[str]:
    variables = {f"AIRFLOW__DATABASE__{name.upper()}": value for name, value in options.items()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE],
        env={**environment.inherited(), **environment.recorded(home), **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if line.startswith(("POOL", "SAME"))]


def test_the_pool_grows_to_all_that_it_may_open(home):
    lines = pool_after(home, sql_alchemy_pool_size="2", sql_alchemy_max_overflow="7")
    assert lines == ["POOL QueuePool 9 0", "SAME False"]


@pytest.mark.parametrize(
    "options",
    [
        {"sql_alchemy_pool_size": "5", "sql_alchemy_max_overflow": "0"},
        {"sql_alchemy_pool_size": "5", "sql_alchemy_max_overflow": "-1"},
        {"sql_alchemy_pool_enabled": "False"},
    ],
)
def test_a_pool_that_closes_nothing_or_keeps_nothing_is_left_alone(home, options):
    assert pool_after(home, **options)[-1] == "SAME True"
