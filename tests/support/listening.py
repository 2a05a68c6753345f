"""Listening to a whole test session: every answer, every log record and every row of the event log, for canaries."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.support import servers
from tests.support.canaries import Notebook

# Loggers of Python's own that are heard from the level DEBUG on, and how Airflow's structured ones are called.
LOGGERS = ("airflow_rest_api", "connexion", "uvicorn", "airflow")
STRUCTURED = "airflow"
# Logs a response that breaks the contract, and nothing else.
RESPONSES = "airflow_rest_api.web.answers"
BREACH = " breaks the contract: "
# Who asks here wants tokens, and gets them.
GIVING = ("/security/login", "/security/refresh", "/auth/token")
# Airflow's own answers are Airflow's.
NOT_OURS = ("/api/v2", "/auth", "/ui")


@contextmanager
def to_session(notebook: Notebook) -> Iterator[None]:
    """Write into the notebook what clients of httpx receive and what is logged, here and by servers."""
    with pytest.MonkeyPatch.context() as patch, _structured_logs(notebook), _logs(notebook):
        send = httpx.Client.send

        def sent(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
            response = send(client, request, **options)
            answer(notebook, response)
            return response

        patch.setattr(httpx.Client, "send", sent)
        readers = [lambda log: notebook.note(str(log), log.read_bytes()), require_valid_responses]
        patch.setattr(servers, "READERS", [*servers.READERS, *readers])
        yield


def answer(notebook: Notebook, response: httpx.Response) -> None:
    """Write down an answer; the credential that it was asked for with is a secret from now on."""
    request = response.request
    _, _, bearer = request.headers.get("authorization", "").partition(" ")
    notebook.issued("a token that was presented", bearer)
    if response.request.url.path.startswith(NOT_OURS):
        return
    where = f"the answer {response.status_code} to {request.method} {request.url.path} in {_test()}"
    headers = "\n".join(
        f"{name}: {value}" for name, value in response.headers.items() if name != "x-request-id"
    )
    notebook.note(where, headers.encode())
    if response.is_success and request.url.path.endswith(GIVING):
        for name, token in response.json().items():
            if token not in _contracts():
                notebook.issued(f"an {name} that was issued", token)
    elif response.is_closed:
        notebook.note(where, response.content)


@cache
def _contracts() -> str:
    """Return the contracts as a text: the tokens of their examples are public, also where a test returns one."""
    from airflow_rest_api.web import contract

    return "".join(json.dumps(contract.load(name)) for name in ("openapi.yaml", "legacy_security.yaml"))


@contextmanager
def to_invalid_responses() -> Iterator[list[str]]:
    """Collect what this process logs about responses that break the contract."""
    handler = _Collecting()
    logger = logging.getLogger(RESPONSES)
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


def require_valid_responses(log: Path) -> None:
    """Fail if a server has logged a response that breaks the contract."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if BREACH in line]
    assert not lines, "\n".join(lines[:10])


def events(notebook: Notebook, database: Path) -> None:
    """Write down the event log of an SQLite database, if there is one."""
    if not database.exists():
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        rows = connection.execute("SELECT * FROM log").fetchall()
    for row in rows:
        notebook.note(f"the event log, row {row[0]}", "\n".join(str(value) for value in row[1:]).encode())


@contextmanager
def _logs(notebook: Notebook) -> Iterator[None]:
    handler = Handler(notebook)
    logging.getLogger().addHandler(handler)
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class Handler(logging.Handler):
    """Writes records into a notebook, with their tracebacks."""

    def __init__(self, notebook: Notebook) -> None:
        super().__init__()
        self._notebook = notebook

    def emit(self, record: logging.LogRecord) -> None:
        self._notebook.note(
            f"the log {record.name} in {_test()}", self.format(record).encode("utf-8", "replace")
        )


class _Collecting(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _structured_logs(notebook: Notebook) -> Iterator[None]:
    """Stand before the last of Airflow's processors, which writes; what it would not have written goes no further."""
    from airflow._shared.logging.structlog import NAME_TO_LEVEL, PER_LOGGER_LEVELS

    usual = PER_LOGGER_LEVELS[""]

    def listen(_: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        fault = sys.exc_info()[1] if event.get("exc_info") is True else event.get("exc_info")
        lines = traceback.format_exception(fault) if isinstance(fault, BaseException) else []
        told = json.dumps(event, default=str) + "".join(lines)
        notebook.note(f"the log {event.get('logger')} in {_test()}", told.encode())
        if NAME_TO_LEVEL.get(method, usual) < usual:
            raise structlog.DropEvent
        return event

    processors = structlog.get_config()["processors"]
    processors.insert(len(processors) - 1, listen)
    PER_LOGGER_LEVELS[STRUCTURED] = NAME_TO_LEVEL["debug"]
    try:
        yield
    finally:
        del PER_LOGGER_LEVELS[STRUCTURED]
        processors.remove(listen)


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "no test")
