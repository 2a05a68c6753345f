"""Sources of secrets: where Airflow finds a variable or a connection, in the order in which it looks.

The order is that of `airflow.configuration.ensure_secrets_loaded`: the backend of `[secrets] backend`, environment
variables, the database. Airflow goes on to the next source where one fails; here that is told, since it would be the
wrong answer to the question where something comes from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Any, NamedTuple

from airflow.configuration import ensure_secrets_loaded
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from airflow.secrets.environment_variables import EnvironmentVariablesBackend
from airflow.secrets.metastore import MetastoreBackend

from airflow_rest_api.services import errors
from airflow_rest_api.services.daemon_threads import DaemonThreads

log = logging.getLogger(__name__)

ALL, DATABASE, ENVIRONMENT = "all", "database", "environment"
# How many seconds a backend may take: a request waits for it, and so do those that want its thread.
LIMIT = 10.0
_THREADS = DaemonThreads(4, "secrets")

Ask = Callable[[Any], Any]


class BackendUnavailable(errors.Unavailable):
    """A secrets backend failed, or took too long."""

    title = "The secrets backend is unavailable"

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"The secrets backend '{name}' {what}; without `source=all` the database alone is asked.",
            retry_after=5,
        )


class BackendDenies(errors.Denied):
    """A secrets backend lets Airflow not read this."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The secrets backend '{name}' does not let Airflow read this.")


class Found(NamedTuple):
    """What was found, and in which source: `database`, `environment`, or the class of a backend."""

    content: Any
    source: str


def first(ask: Ask, stored: Any | None) -> Found | None:
    """Return what the first source has that has anything; ``stored`` is what the database has.

    ``ask`` asks a backend. It is called beyond any unit of work, so that no backend holds a connection. Raises
    `BackendUnavailable` and `BackendDenies`.
    """
    for backend in _loaded():
        if isinstance(backend, MetastoreBackend):
            if stored is not None:
                return Found(stored, DATABASE)
        elif (content := _asked(ask, backend)) is not None:
            is_environment = isinstance(backend, EnvironmentVariablesBackend)
            return Found(content, ENVIRONMENT if is_environment else type(backend).__name__)
    return None


def _loaded() -> list[Any]:
    try:
        return ensure_secrets_loaded()
    except Exception as fault:
        # What it says may hold what the backend was configured with.
        log.warning("The secrets backends cannot be loaded: %s", type(fault).__name__)
        raise BackendUnavailable("[secrets] backend", "cannot be loaded") from None


def _asked(ask: Ask, backend: Any) -> Any:
    name = type(backend).__name__
    try:
        return ask(backend) if isinstance(backend, EnvironmentVariablesBackend) else _in_time(ask, backend)
    except AirflowSecretsBackendAccessDenied:
        raise BackendDenies(name) from None
    except Late:
        raise BackendUnavailable(name, f"does not answer within {LIMIT:g} seconds") from None
    except Exception as fault:
        log.warning("The secrets backend %s failed: %s", name, type(fault).__name__)
        raise BackendUnavailable(name, "failed") from None


def _in_time(ask: Ask, backend: Any) -> Any:
    answer: Future[Any] = Future()

    def work() -> None:
        # Whoever has given up waiting for a thread needs none.
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(ask(backend))
        except BaseException as fault:
            answer.set_exception(fault)

    _THREADS.submit(work)
    try:
        return answer.result(LIMIT)
    finally:
        answer.cancel()
