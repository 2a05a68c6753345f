"""The PostgreSQL cluster of the tests that are marked `postgres`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import template

CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def require() -> None:
    """Skip the test that asks where PostgreSQL is not installed; where `CI` is set it fails."""
    from benchmark.database import NoPostgres, find_binaries

    try:
        find_binaries()
    except NoPostgres as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@contextmanager
def prepared_database(home: Path) -> Iterator[str]:
    """Start a cluster and fill its database with the scenario."""
    from benchmark.database import postgres_cluster

    require()
    with postgres_cluster() as url:
        template.fill(home, url)
        yield url


@contextmanager
def in_use(url: str) -> Iterator[None]:
    """Point this process's Airflow at another database, and back."""
    before = os.environ[CONNECTION]
    _point_at(url)
    try:
        yield
    finally:
        _point_at(before)


def let_counts_be_written() -> None:
    """Wait for the threads that write the counts of refusals a moment later: to the database of that time."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)


def _point_at(url: str) -> None:
    from airflow import settings

    let_counts_be_written()
    settings.dispose_orm()
    os.environ[CONNECTION] = url
    settings.configure_vars()
    settings.configure_orm()
