"""The two services as running servers: alone on the loopback address, one worker each, and logged in to."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import environment, processes
from benchmark.programs import program

READY_SECONDS = 90
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Service:
    """How one of the compared services is prepared, started and logged in to, and its base path."""

    name: str
    command: tuple[str, ...]
    base: str
    login: str
    preparation: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A service that answers, and the token to ask it with."""

    service: Service
    port: int
    token: str

    def request(self, method: str, path: str, body: str | None) -> str:
        """The text of one whole HTTP request to an operation of the service."""
        lines = [f"{method} {self.service.base}{path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"Authorization: Bearer {self.token}", "Accept: application/json"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
        return "\r\n".join([*lines, "", body or ""])

    def is_alive(self) -> bool:
        """Tell whether it still answers."""
        return _answers(self.port, f"{self.service.base}/version")

    def get(self, path: str) -> object:
        """The JSON answer of one read."""
        return _call(self.port, self.service.base + path, token=self.token)


AIRFLOW = Service(
    name="airflow",
    command=("airflow", "api-server", "--apps", "core", "--workers", "1", "--host", "127.0.0.1", "--port"),
    base="/api/v2",
    login="/auth/token",
)
OURS = Service(
    name="service",
    command=(
        *("airflow-rest-api", "serve", "--log-level", "warning", "--no-access-log"),
        *("--workers", "1", "--host", "127.0.0.1", "--port"),
    ),
    base="/rest_api/v1",
    login="/rest_api/v1/security/login",
    preparation=("airflow-rest-api", "db", "migrate"),
)


@contextmanager
def serving(
    service: Service, home: Path, settings: Mapping[str, str], cores: frozenset[int], *, label: str = ""
) -> Iterator[Server]:
    """Run a service until the end of the block. Raises ProcessEnded when it does not come up."""
    variables = {**settings, **service.settings}
    _prepare(service, variables)
    port = processes.free_port()
    log = home / f"{label or service.name}.log"
    log.unlink(missing_ok=True)
    command = [program(service.command[0]), *service.command[1:], str(port)]
    child = processes.start(command, log, env=variables, cores=cores)
    try:
        _wait(child, service, port, log)
        yield Server(service, port, _log_in(port, service.login))
    finally:
        processes.stop(child)


def _prepare(service: Service, settings: Mapping[str, str]) -> None:
    if not service.preparation:
        return
    command = [program(service.preparation[0]), *service.preparation[1:]]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise processes.ProcessEnded(f"`{' '.join(service.preparation)}` failed:\n{done.stdout}{done.stderr}")


def _wait(child: subprocess.Popen[bytes], service: Service, port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if _answers(port, f"{service.base}/version"):
            return
        time.sleep(0.2)
    raise processes.ProcessEnded(f"{service.name} did not come up:\n{processes.last_lines(log)}")


def _answers(port: int, path: str) -> bool:
    try:
        _call(port, path)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def _log_in(port: int, path: str) -> str:
    answer = _call(port, path, {"username": environment.USERNAME, "password": environment.PASSWORD})
    if not isinstance(answer, dict):
        raise processes.ProcessEnded(f"{path} answered without a token")
    return str(answer["access_token"])


def _call(port: int, path: str, body: object = None, token: str = "") -> object:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    with DIRECT.open(request, timeout=30) as answer:
        return json.load(answer)
