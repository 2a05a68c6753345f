"""Airflow's hosts: where its database and its broker are, which nobody reaches by way of a connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from airflow.configuration import conf

from airflow_rest_api.sandbox import destinations
from airflow_rest_api.sandbox.addresses import resolved

_OPTIONS = (
    ("database", "sql_alchemy_conn"),
    ("database", "sql_alchemy_conn_async"),
    ("celery", "broker_url"),
    ("celery", "result_backend"),
)
# How long an answer of a name server is believed.
_SECONDS = 60


def names() -> set[str]:
    """Return the hosts that the addresses in Airflow's configuration name."""
    found = (conf.get(*option, fallback="") or "" for option in _OPTIONS)
    return {host for text in found for url in text.split(";") for host in _of(url)}


def addresses() -> list[str]:
    """Return what these hosts stand for."""
    return _resolved(frozenset(names()), int(time.monotonic() // _SECONDS))


@lru_cache(maxsize=4)
def _resolved(hosts: frozenset[str], _: int) -> list[str]:
    return sorted({str(address) for host in hosts for address in resolved(host)})


def _of(url: str) -> Iterator[str]:
    """Yield the hosts of one address: those in their place, and those of a query, where PostgreSQL has several."""
    yield from (host for host, _ in destinations.named({"host": url}))
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return
    for name in ("host", "hostaddr"):
        for text in query.get(name, ()):
            yield from (host for host, _ in destinations.named({"host": text}))
