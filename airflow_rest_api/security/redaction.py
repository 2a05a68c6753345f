"""Redaction: the secrets of this installation, taken out of whatever leaves the process.

Nothing here should ever find anything. It is the net below answers, problems, the audit and the logs, for the day on
which a driver quotes its address in an error, or a DAG prints its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from airflow_rest_api.services.configuration import option
from airflow_rest_api.services.task_instances.redactor import LEAST_LENGTH, MASK, Redactor
from airflow_rest_api.settings import Settings

__all__ = ["LEAST_LENGTH", "MASK", "Redactor", "of_installation"]


def of_installation(settings: Settings) -> Redactor:
    """Return a redactor that knows the secrets of `airflow.cfg`, its environment and backends, and of ``settings``.

    Passwords of users are not among them: people choose words, and whoever can make the service repeat a text could
    try them out on it.
    """
    return Redactor([*_of_airflow(), *_of_this_service(settings)])


def _of_airflow() -> Iterator[str]:
    database = option("database", "sql_alchemy_conn") or ""
    yield database
    for place in (database, option("celery", "broker_url"), option("celery", "result_backend")):
        yield from _of_addresses(place or "")
    for credential in (option("celery", "flower_basic_auth") or "").split(","):
        yield credential.partition(":")[2]
    yield from (key.strip() for key in (option("core", "fernet_key") or "").split(","))
    yield option("api_auth", "jwt_secret") or ""
    yield option("api", "secret_key") or ""


def _of_addresses(addresses: str) -> Iterator[str]:
    """Yield the addresses that hold a password, and the passwords; Celery takes several, with semicolons between."""
    for address in addresses.split(";"):
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password:
            yield from (address, password, unquote(password))


def _of_this_service(settings: Settings) -> Iterator[str]:
    yield settings.jwt_secret or ""
    yield from (token.value for token in settings.http_tokens if not token.value.startswith("sha256:"))
