"""A whole Airflow that runs tasks: `scripts/serve` with the DAGs of `tests/live/dags`, on SQLite or PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from benchmark import processes
from embedded.settings import Home, child_environment

from tests.support import clients, environment, servers

DAGS = environment.ROOT / "tests" / "live" / "dags"
SERVE = environment.ROOT / "scripts" / "serve"
READY_SECONDS = 180
ENDED = ("success", "failed")

Json = dict[str, Any]


@dataclass
class Live:
    """A running Airflow: its home and address, clients of both services, and what tests ask of it all the time."""

    home: Path
    url: str
    database_url: str
    rest: clients.Client
    v2: clients.Client
    serve: subprocess.Popen[bytes]

    @property
    def is_on_postgres(self) -> bool:
        """Whether the database locks rows."""
        return self.database_url.startswith("postgresql")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its components, for another process beside them."""
        return child_environment(Home(self.home), psutil.Process(self.serve.pid).environ())

    def trigger(self, dag_id: str, **body: Any) -> str:
        """Trigger a run and return its id."""
        answer = self.rest.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["dag_run_id"])

    def run(self, dag_id: str, run_id: str, **query: Any) -> Json:
        """Return a run as the service has it."""
        return self._got(f"/dags/{dag_id}/dagRuns/{run_id}", **query)

    def until(
        self, dag_id: str, run_id: str, state: str | Collection[str] = ENDED, seconds: float = 60
    ) -> Json:
        """Return the run as soon as it is in one of the states."""
        wanted = {state} if isinstance(state, str) else set(state)
        return self._until(lambda: self.run(dag_id, run_id), wanted, seconds)

    def instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[Json] = self._got(path, limit=1000)["task_instances"]
        return found

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the states of a run's task instances, those of mapped tasks as `task[0]`."""
        return {_name(entry): entry["state"] for entry in self.instances(dag_id, run_id)}

    def tries(self, dag_id: str, run_id: str) -> dict[str, int]:
        """Return how often each task instance has been tried, named as in `states`."""
        return {_name(entry): entry["try_number"] for entry in self.instances(dag_id, run_id)}

    def instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Json:
        """Return one task instance."""
        index = "" if map_index == -1 else f"/{map_index}"
        return self._got(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}{index}")

    def until_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        state: str | Collection[str | None] | None,
        map_index: int = -1,
        seconds: float = 60,
    ) -> Json:
        """Return the task instance as soon as it is in one of the states."""
        wanted = {state} if state is None or isinstance(state, str) else set(state)
        return self._until(lambda: self.instance(dag_id, run_id, task_id, map_index), wanted, seconds)

    def ended(self, operation_id: str, seconds: float = 60) -> Json:
        """Return an operation as soon as it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            found = self._got(f"/operations/{operation_id}", wait=10)
            if found["state"] not in ("queued", "running"):
                return found
            assert time.monotonic() < deadline, found

    def log(self, name: str) -> str:
        """Return what a component has written: `scheduler`, `dag-processor`, `triggerer` or `api-server`."""
        return (self.home / "logs" / f"{name}.log").read_text()

    def _got(self, path: str, **query: Any) -> Json:
        answer = self.rest.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def _until(self, look: Any, wanted: set[Any], seconds: float) -> Json:
        deadline = time.monotonic() + seconds
        while True:
            found: Json = look()
            if found["state"] in wanted:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


@contextmanager
def running(home: Path, database_url: str | None = None, **settings: str) -> Iterator[Live]:
    """Start everything in the folder `home`, which must not exist, and end it afterwards.

    The database is a SQLite file in there, or the empty one of PostgreSQL at the URL; `settings` are further
    environment variables.
    """
    port = processes.free_port()
    inherited = environment.without_coverage(environment.inherited())
    variables = {**inherited, **_settings(home, database_url, port), **settings}
    log = home.with_suffix(".log")
    command = [str(SERVE), "--port", str(port), "--home", str(home), "--no-examples"]
    serve = processes.start(command, log, env=variables)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(serve, url, home, log)
        tokens = clients.Tokens()
        with httpx.Client(base_url=url, timeout=90) as http:
            yield Live(
                home,
                url,
                database_url or f"sqlite:///{home}/airflow.db?timeout=60",
                clients.Client(http, clients.REST, tokens),
                clients.Client(http, clients.V2, tokens),
                serve,
            )
    finally:
        processes.stop(serve, signal.SIGTERM, grace=40)
        # What `scripts/serve` itself prints holds the password, on purpose.
        for file in home.glob("logs/*.log"):
            for read in servers.READERS:
                read(file)


def _settings(home: Path, database_url: str | None, port: int) -> dict[str, str]:
    """What the tests need otherwise than the demo, and the keys and users that their clients know."""
    known = environment.prepare(home, database_url)
    ours = (
        "__FERNET_KEY",
        "__SIMPLE_AUTH_MANAGER_",
        "__SECRET_KEY",
        "__JWT_",
        "__AUTH_MANAGER",
        "USAGE_DATA",
    )
    kept = {name: value for name, value in known.items() if any(part in name for part in ours)}
    if database_url:
        kept["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database_url
    return {
        **kept,
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__REST_API__TEST_ENABLED": "True",
        "AIRFLOW__CORE__PARALLELISM": "6",
    }


def _wait(serve: subprocess.Popen[bytes], url: str, home: Path, log: Path) -> None:
    """Wait until the service answers and the DAG files have been read."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and serve.poll() is None:
        try:
            ready = httpx.get(f"{url}/rest_api/v1/health/ready", timeout=60).status_code == 200
        except httpx.TransportError:
            ready = False
        if ready and (home / "parsed").exists():
            return
        time.sleep(0.2)
    raise processes.ProcessEnded(f"Airflow did not become ready:\n{processes.last_lines(log, 60)}")


def _name(entry: Json) -> str:
    index = entry["map_index"]
    return str(entry["task_id"]) if index == -1 else f"{entry['task_id']}[{index}]"
