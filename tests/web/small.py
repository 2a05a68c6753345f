"""Small contracts with small handlers, to see what the web frame makes of them."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import uvicorn

Address = tuple[str, int]
Stop = Callable[[], None]
TEXT = {"type": "string"}
OBJECT = {"type": "object"}


def empty() -> dict[str, Any]:
    """Answer nothing."""
    return {}


def operation(
    operation_id: str,
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    takes: str = "application/json",
    required: bool = True,
    answer: dict[str, Any] | None = OBJECT,
    status: str = "200",
    media_type: str = "application/json",
    **further: Any,
) -> dict[str, Any]:
    """An operation that anybody may call, with this body and answer."""
    content = {} if answer is None else {"content": {media_type: {"schema": answer}}}
    defined: dict[str, Any] = {
        "operationId": operation_id,
        "tags": ["Probe"],
        "x-airflow-access": [],
        "security": [],
        "parameters": parameters or [],
        "responses": {status: {"description": "Done.", **content}},
    }
    if body is not None:
        defined["requestBody"] = {"required": required, "content": {takes: {"schema": body}}}
    return {**defined, **further}


def parameter(name: str, place: str = "query", **schema: Any) -> dict[str, Any]:
    """A parameter with this schema; those of the path are required."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema or TEXT}


def document(paths: Mapping[str, Any], **further: Any) -> dict[str, Any]:
    """A contract of these paths."""
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    header = {"type": "apiKey", "in": "header", "name": "rest_api_plugin_http_token"}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Small", "version": "1"},
        "security": [{"bearer": []}, {"httpToken": []}],
        "paths": dict(paths),
        "components": {"securitySchemes": {"bearer": bearer, "httpToken": header}},
        **further,
    }


def files(monkeypatch: pytest.MonkeyPatch, contents: Mapping[str, Any]) -> None:
    """Let the contract consist of these files."""
    from airflow_rest_api.web import contract

    def read(name: str) -> Any:
        if name not in contents:
            raise contract.ContractError(f"{name} cannot be read")
        return contents[name]

    monkeypatch.setattr(contract, "_read", read)


def application(
    monkeypatch: pytest.MonkeyPatch,
    paths: Mapping[str, Any],
    handlers: Mapping[str, Callable[..., Any]],
    **settings: Any,
) -> Any:
    """Build the application from a contract of these paths, answered by these functions."""
    from airflow_rest_api.web.app import create_application

    files(monkeypatch, {"openapi.yaml": document(paths)})
    module = ModuleType("airflow_rest_api.handlers.probe")
    for name, function in handlers.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, value in {"legacy_enabled": False, **settings}.items():
        monkeypatch.setenv(f"AIRFLOW__REST_API__{name.upper()}", str(value))
    return create_application()


def uvicorn_options(app: Any, **options: Any) -> dict[str, Any]:
    """What `airflow-rest-api serve` would hand to uvicorn for this application."""
    from airflow_rest_api.web import server

    given = {"host": "127.0.0.1", "port": 0, "workers": 1, "root_path": "", "log_level": "critical"}
    given |= {"access_log": False, "worker_start_timeout": 120, "max_connections": 2000}
    return server.uvicorn_options(server.Options(**{**given, **options}), app)


def config(app: Any, **options: Any) -> uvicorn.Config:
    """The configuration with which `airflow-rest-api serve` would serve this application."""
    return uvicorn.Config(**uvicorn_options(app, **options))


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[Address]:
    """Serve an application as `airflow-rest-api serve` does, in a thread, on a free port."""
    with stoppable(config(app, **options)) as (address, _):
        yield address


@contextmanager
def stoppable(config: uvicorn.Config) -> Iterator[tuple[Address, Stop]]:
    """Serve in a thread, on a free port; also return the function that sends the server a SIGTERM."""
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        # A server in a thread does not take the signals itself.
        known = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, server.handle_exit)
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            yield listener.getsockname(), lambda: signal.raise_signal(signal.SIGTERM)
        finally:
            server.should_exit = True
            thread.join()
            signal.signal(signal.SIGTERM, known)


class Wire:
    """A connection on which a test writes bytes of its own choice."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        # What came behind an answer: the beginning of the next one.
        self._behind = b""

    def send(self, *lines: str, body: bytes = b"") -> None:
        """Send the head of a request, given as its lines, and what follows it."""
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers, and the body as far as its length tells."""
        raw, self._behind = self._behind, b""
        while b"\r\n\r\n" not in raw:
            raw += self._more()
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(body) < length:
            body += self._more()
        if "content-length" in headers:
            body, self._behind = body[:length], body[length:]
        return int(first.split()[1]), headers, body

    def _more(self) -> bytes:
        received = self.socket.recv(65536)
        if not received:
            raise EOFError("the server closed the connection")
        return received

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def until(condition, seconds=5.0):
    """Wait for what happens by itself soon; tell whether it has."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
