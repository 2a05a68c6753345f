"""Servers that start and stop real components, each in a home of its own."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from benchmark import processes

from airflow_rest_api.supervision.registry import Registry
from tests.support import clients, environment, servers, template

ENDED_SECONDS = 90


@contextmanager
def home(folder: Path) -> Iterator[Path]:
    """Make a home in which nothing is to be done: its DAGs are paused; what is left of components is stopped."""
    environment.prepare(folder)
    template.copy_to(folder)
    with closing(sqlite3.connect(folder / "airflow.db")) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM dag_run")
        database.execute("UPDATE dag SET is_paused = 1")
    yield folder
    registry = Registry(folder / "rest_api" / "components")
    for left in registry.all():
        registry.stop(left.component, left.instance, grace_seconds=0)


@contextmanager
def serving(way: str, place: Path, **settings: str) -> Iterator[clients.Client]:
    """A client of a server that runs in the home; the bundle that is parsed there is empty."""
    bundle = environment.local_bundle(environment.DRAFTS, place / environment.DRAFTS)
    settings["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = str([bundle]).replace("'", '"')
    settings["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] = str(processes.free_port())
    variables = environment.without_coverage(os.environ)
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        servers.running(way, place, **settings) as server,
        httpx.Client(base_url=server.url, timeout=90) as http,
    ):
        yield clients.Client(http, clients.REST, clients.Tokens())


def ended(client: clients.Client, component_name: str, action: str, **call: Any) -> dict[str, Any]:
    """The operation that starts or stops a component, when it has ended."""
    answer = client.post(f"/components/{component_name}/{action}", **call)
    assert answer.status_code == 202, answer.text
    place, deadline = f"/operations/{answer.json()['operation_id']}", time.monotonic() + ENDED_SECONDS
    while (found := client.get(place, params={"wait": 30}).json())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
    return dict(found)


def process_of(client: clients.Client, component_name: str) -> dict[str, Any]:
    """What is told of the one process of a component."""
    (found,) = client.get(f"/components/{component_name}").json()["processes"]
    return dict(found)
