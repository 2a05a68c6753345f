"""The service as a real server, in a home of its own with the scenario: mounted in Airflow's API server, or alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from benchmark import processes

from tests.support import dying, environment, template

READY_SECONDS = 120
# Who wants to read the log of a server that has ended.
READERS: list[Callable[[Path], None]] = []
# Airflow writes sets into some sentences: only with the same seed are they in the same order in two processes.
HASH_SEED = {"PYTHONHASHSEED": "0"}
PROGRAMS = Path(sys.executable).parent
COMMANDS = {
    "mounted": ["airflow", "api-server", "--apps", "core", "--workers", "1", "--host", "127.0.0.1", "--port"],
    "standalone": ["airflow-rest-api", "serve", "--workers", "1", "--host", "127.0.0.1", "--port"],
}
TWO_WORKERS = [*COMMANDS["standalone"]]
TWO_WORKERS[TWO_WORKERS.index("--workers") + 1] = "2"
_DYING = ["python", "-m", "tests.support.dying"]
OTHER_COMMANDS = {
    "two workers": TWO_WORKERS,
    "resting": ["python", "-m", "tests.support.resting_components", *COMMANDS["standalone"][1:]],
}
FAULTY_COMMANDS = {
    f"dying when {moment}": [*_DYING, moment, *COMMANDS["standalone"][1:]] for moment in dying.MOMENTS
}


@dataclass(frozen=True)
class Server:
    """A server that is ready: its address, the home that it runs in, and its (parent) process."""

    url: str
    home: Path
    log: Path
    pid: int


@contextmanager
def running(way: str, home: Path, *, is_covered: bool = True, **settings: str) -> Iterator[Server]:
    """Start a server `mounted` or `standalone` and end it afterwards; `settings` are further environment variables.

    A home that holds no database yet gets the scenario. Unless `is_covered`, the coverage does not count the server,
    which is twice as fast then. Raises ProcessEnded when the server does not become ready.
    """
    inherited = environment.inherited()
    if not is_covered:
        inherited = environment.without_coverage(inherited)
    variables = inherited | HASH_SEED | environment.prepare(home) | settings
    if not (home / "airflow.db").exists():
        template.copy_to(home)
    port, log = processes.free_port(), home / f"{way}.log"
    program, *arguments = {**COMMANDS, **FAULTY_COMMANDS, **OTHER_COMMANDS}[way]
    server = processes.start([str(PROGRAMS / program), *arguments, str(port)], log, env=variables)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, lambda: server.poll() is None, log)
        yield Server(url, home, log, server.pid)
    finally:
        processes.stop(server)
        for read in READERS:
            read(log)


def _wait(url: str, alive, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and alive():
        try:
            if httpx.get(f"{url}/rest_api/v1/health/ready", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise processes.ProcessEnded(f"the server did not become ready:\n{processes.last_lines(log, 40)}")
