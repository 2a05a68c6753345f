"""Celery control: what Celery's workers say of themselves, and what they are told, through the broker.

Workers are known by their answers alone. A broker that does not answer is given up soon, and its address, which may
hold a password, is never told. Every call has a connection of its own: a broker that was away is met anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from airflow_rest_api.services import errors
from airflow_rest_api.services.components import celery_setup

# How long workers have to answer the first question; there is no telling how many will.
ANSWER_SECONDS = 1.0
# How long all questions may take together, after which what is not known stays so.
WHOLE_SECONDS = 2.0
_LEAST_SECONDS = 0.1
_CONNECT_SECONDS = 1.5
# Celery puts other modules into the places of its own when it is imported, which two threads must not do at once.
_MAKING = threading.Lock()
_OF_REDIS = ("redis", "rediss", "sentinel")

Reply = Mapping[str, Any]


class CeleryNotConfigured(errors.Conflict):
    """Airflow does not run tasks by Celery here."""

    title = "Celery is not configured"

    def __init__(self, why: str) -> None:
        super().__init__(f"There are no Celery workers to speak to. {why}")


class BrokerUnavailable(errors.Unavailable):
    """Celery's broker does not answer, or does not let this service in."""

    title = "Celery's broker is unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The broker between Airflow and Celery's workers does not answer at present; try again shortly.",
            retry_after=5,
        )


class Answer(NamedTuple):
    """What one worker has answered; two with the same name both answer."""

    worker_name: str
    said: Any


class Control:
    """A connection to the broker, on which workers are asked."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self._end = time.monotonic() + WHOLE_SECONDS

    def ask_all(self, command: str, expected: int | None = None) -> list[Answer]:
        """Ask all workers; return when so many have answered, or nobody has for a while."""
        left = max(_LEAST_SECONDS, self._end - time.monotonic())
        replies = self._mailbox.multi_call(command, timeout=min(ANSWER_SECONDS, left), limit=expected)
        return list(_answers(replies))

    def ask(self, worker_name: str, command: str, **arguments: Any) -> list[Answer]:
        """Ask all workers of one name, mostly one; return when one has answered, or the time is up."""
        replies = self._mailbox.call([worker_name], command, arguments, timeout=ANSWER_SECONDS)
        return list(_answers(replies))

    def tell(self, worker_name: str, command: str) -> None:
        """Tell all workers of one name what they do not answer."""
        self._mailbox.cast([worker_name], command)


def require_configured() -> None:
    """Raise `CeleryNotConfigured` unless Airflow runs tasks by Celery."""
    if (why := celery_setup.lack()) is not None:
        raise CeleryNotConfigured(why)


@contextmanager
def opened() -> Iterator[Control]:
    """Give a connection to the broker. Raises `CeleryNotConfigured` and `BrokerUnavailable`."""
    require_configured()
    with _MAKING:
        application = _application()
    from kombu.exceptions import OperationalError

    with application.connection_for_write() as connection:
        # `KeyError`: no transport is known for the address.
        failures = (
            *connection.connection_errors,
            *connection.channel_errors,
            OperationalError,
            OSError,
            KeyError,
        )
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_SECONDS)
            mailbox = application.control.mailbox(connection)
            # Those of the pool may be of a time before the broker was restarted.
            mailbox.producer_pool = None
            yield Control(mailbox)
        except failures:
            # The reason may quote the address.
            raise BrokerUnavailable from None


@cache
def _application() -> Any:
    """Return a Celery application as Airflow's provider sets it up, which gives up soon."""
    from celery import Celery

    celery_setup.option("broker_url")
    from airflow.providers.celery.executors.celery_executor_utils import get_celery_configuration

    application = Celery("airflow_rest_api", set_as_current=False)
    application.conf.update(get_celery_configuration())
    application.conf.update(
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_transport_options=_impatient(application.conf),
    )
    return application


def _impatient(settings: Any) -> dict[str, Any]:
    options = {**(settings.broker_transport_options or {}), "max_retries": 1}
    scheme = str(settings.broker_url or "").partition(":")[0].partition("+")[0]
    if scheme in _OF_REDIS:
        options |= {"socket_connect_timeout": _CONNECT_SECONDS, "socket_timeout": WHOLE_SECONDS}
    return options


def _answers(replies: list[Reply] | None) -> Iterator[Answer]:
    for reply in replies or ():
        for name, said in reply.items():
            yield Answer(str(name), said)
