"""Deployments without a request: into a bundle of the test's own, followed step by step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

BUNDLE = "trial"
DAG = """\
from airflow.sdk import DAG, task

with DAG({dag_id!r}, schedule=None, tags=["trial"]):

    @task
    def {task}():
        return {value!r}

    {task}()
"""


def dag_file(dag_id: str, value: Any = 1, task: str = "work") -> bytes:
    """A DAG file whose content differs by `value`, and whose structure by `task`."""
    return DAG.format(dag_id=dag_id, task=task, value=value).encode()


@contextmanager
def bundle_in(folder: Path, name: str = BUNDLE) -> Iterator[Path]:
    """Let Airflow take DAGs from a folder as well, as a local bundle."""
    variable = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    before = os.environ.get(variable)
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    entries = [{"name": name, "classpath": local, "kwargs": {"path": str(folder)}}]
    folder.mkdir(exist_ok=True)
    os.environ[variable] = json.dumps(entries)
    try:
        yield folder
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before


def order(path: str, content: Any, dags: dict[str, str] | None = None, **options: Any) -> Any:
    """An order for a path of the bundle, of somebody who may change every DAG."""
    from airflow_rest_api.services.deployments.deployed_paths import Place
    from airflow_rest_api.services.deployments.deployment_rows import Order

    return Order(
        **{
            "place": Place(BUNDLE, path),
            "kind": content.kind if content else "file",
            "content": content,
            "dags": dags or {},
            "permitted": Everything(dags or {}),
            **options,
        }
    )


class Everything(frozenset):  # type: ignore[type-arg]
    """All DAGs that there are."""

    def issuperset(self, _: Any) -> bool:
        return True


def store(order: Any, expected: Any = None, deployment_id: str | None = None) -> dict[str, Any]:
    """Store an order, in the way in which the service does it, and return the deployment."""
    from airflow_rest_api.services.deployments import bundles, deployment_storing
    from airflow_rest_api.services.deployments.deployment_expectations import Expectation

    origin = origin_of("admin")
    bundle = bundles.writable(BUNDLE)
    expected = expected or Expectation(force=True)
    return deployment_storing.store(deployment_id or str(uuid4()), order, origin, bundle, expected)


def processed(folder: Path, path: str, data: bytes, call: Callable[[], Any]) -> Any:
    """Make a call that deploys a file to the bundle, and parse it over and over once it is there; the answer.

    Airflow parses in main threads, so the call is made in another one.
    """
    from tests.support import parser

    file = folder / path
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call)
        while not answer.done():
            if file.is_file() and file.read_bytes() == data:
                parser.parse(folder, path, 0.0, BUNDLE)
            time.sleep(0.1)
        return answer.result()


def origin_of(name: str) -> Any:
    """Who asks for a deployment, now."""
    from airflow_rest_api.services.deployments.deployment_rows import Origin

    return Origin(name, name, "192.0.2.1", datetime.now(timezone.utc))


def found(deployment_id: str) -> Any:
    """The row of a deployment."""
    from airflow_rest_api.services.database import reading
    from airflow_rest_api.services.deployments import deployment_rows

    with reading() as session:
        return deployment_rows.read(session, deployment_id)


def current(path: str) -> str | None:
    """The deployment whose content is at a path."""
    from airflow_rest_api.services.database import reading
    from airflow_rest_api.services.deployments import deployed_paths

    with reading() as session:
        return deployed_paths.current(session, deployed_paths.Place(BUNDLE, path))


@contextmanager
def service(token: Any) -> Iterator[Any]:
    """A client of an application in this process that may deploy; what it follows ends with it."""
    from unittest import mock

    from starlette.testclient import TestClient

    from airflow_rest_api.services.deployments.deployment_following import Following
    from airflow_rest_api.web import app
    from tests.support import clients

    made: list[Following] = []

    def following(*args: Any) -> Following:
        made.append(Following(*args))
        return made[-1]

    switched_on = mock.patch.dict(os.environ, {"AIRFLOW__REST_API__DEPLOY_ENABLED": "True"})
    with switched_on, mock.patch.object(app, "Following", following):
        application = app.create_application()
    with TestClient(application, raise_server_exceptions=False) as http:
        try:
            yield clients.Client(http, clients.REST, token)
        finally:
            for one in made:
                one.stop()
