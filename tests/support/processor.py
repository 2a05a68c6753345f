"""A DAG processor that is alive, with Airflow's default settings, beside the service in a home of their own."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from benchmark import processes

from tests.support import clients, environment, servers, template

BUNDLE = "drafts"
READY_SECONDS = 90
_HEARTBEAT = "SELECT count(*) FROM job WHERE job_type = 'DagProcessorJob' AND state = 'running'"
_PARSED = """
SELECT count(*) FROM (
    SELECT relative_fileloc FROM dag WHERE bundle_name = ? AND last_parsed_time IS NOT NULL
    UNION SELECT filename FROM import_error WHERE bundle_name = ?
)
"""
_SOURCE = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("{dag_id}"):
    EmptyOperator(task_id="{task_id}")
"""


def source(dag_id: str, task_id: str = "first") -> str:
    """The text of a file that holds a DAG with one task."""
    return _SOURCE.format(dag_id=dag_id, task_id=task_id)


@dataclass
class Life:
    """An Airflow with a DAG processor: its home, a client of the service, and the folder of the bundle `drafts`."""

    home: Path
    rest: clients.Client
    drafts: Path

    def write(self, name: str, text: str) -> Path:
        """Put a file into the bundle, as a person with an editor would."""
        path = self.drafts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def ended(self, operation_id: str, seconds: int = 60) -> dict[str, Any]:
        """Wait for an operation to end, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = self.rest.get(f"/operations/{operation_id}", params={"wait": 20}).json()
            if found["state"] not in ("queued", "running"):
                return found
            assert time.monotonic() < deadline, found

    def asks(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read from the home's database."""
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as database:
            return database.execute(statement, values).fetchall()


@contextmanager
def running(home: Path, files: Mapping[str, str] | None = None, **settings: str) -> Iterator[Life]:
    """Prepare the home, start the DAG processor and the service in it, and end both afterwards.

    Of the bundles the processor sees to `drafts` alone, which holds `files` from the beginning: Airflow knows their
    DAGs when this yields. `settings` are further environment variables.
    """
    drafts = home / BUNDLE
    drafts.mkdir(parents=True)
    for name, text in (files or {}).items():
        (drafts / name).write_text(text)
    variables = {**_bundles(drafts), "AIRFLOW__REST_API__DEPLOY_ENABLED": "True", **settings}
    environment.prepare(home)
    template.copy_to(home)
    with _processor(home, variables), servers.running("standalone", home, **variables) as server:
        _wait_for_files(home, len(files or {}))
        with httpx.Client(base_url=server.url, timeout=90) as http:
            yield Life(home, clients.Client(http, clients.REST, clients.Tokens()), drafts)


def _bundles(drafts: Path) -> dict[str, str]:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    # The first is the one to which is deployed unless another one is named.
    bundles = [
        {"name": BUNDLE, "classpath": local, "kwargs": {"path": str(drafts)}},
        {"name": "dags-folder", "classpath": local, "kwargs": {}},
    ]
    return {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}


@contextmanager
def _processor(home: Path, settings: dict[str, str]) -> Iterator[None]:
    variables = environment.inherited() | environment.settings(home) | settings
    command = [str(servers.PROGRAMS / "airflow"), "dag-processor", "--bundle-name", BUNDLE]
    child = processes.start(command, home / "dag-processor.log", env=variables)
    try:
        yield
    finally:
        processes.stop(child)


def _wait_for_files(home: Path, number: int) -> None:
    """Wait until the processor is alive and has parsed so many files of the bundle."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(home / "airflow.db", timeout=30)) as database:
            (is_alive,) = database.execute(_HEARTBEAT).fetchone()
            (parsed,) = database.execute(_PARSED, [BUNDLE, BUNDLE]).fetchone()
        if is_alive and parsed >= number:
            return
        time.sleep(0.2)
    log = processes.last_lines(home / "dag-processor.log", 40)
    raise processes.ProcessEnded(f"the DAG processor did not become ready:\n{log}")
