"""The Airflow that runs tasks, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import live as support
from tests.support import postgres

DATABASES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on both databases, or on those that its module names; one worker has all tests of a database."""
    if "live" in metafunc.fixturenames:
        names = getattr(metafunc.module, "DATABASES", DATABASES)
        params = [
            pytest.param(name, marks=pytest.mark.xdist_group(f"live-{name}"), id=name) for name in names
        ]
        metafunc.parametrize("live", params, indirect=True, scope="package")


@pytest.fixture(scope="package")
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[support.Live]:
    """An Airflow with scheduler, LocalExecutor, DAG processor, triggerer and the service in its API server."""
    home = tmp_path_factory.mktemp("live") / request.param
    if request.param == "sqlite":
        with support.running(home) as started:
            yield started
        return
    from benchmark.database import postgres_cluster

    postgres.require()
    with postgres_cluster() as url, support.running(home, url) as started:
        yield started
