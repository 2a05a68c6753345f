"""Shown addresses: no secret of a connection's URI is told."""

from __future__ import annotations

import pytest

from airflow_rest_api.services.connections import shown_address

SHOWN = {
    "postgresql://ada:secret@host:5432/db": "postgresql://ada:***@host:5432/db",
    "pg://:secret@host": "pg://:***@host",
    "pg://ada:se%40cret@host/db?sslmode=require&password=secret&x=1": "pg://ada:***@host/db?sslmode=require&password=***&x=1",
    "http://https://ada:secret@host/x": "http://https://ada:***@host/x",
    "pg://ada:se@cret@host": "pg://ada:***@host",
    "pg://ada:sec\nret@host": "pg://ada:***@host",
    "pg://host?__extra__=%7B%22token%22%3A%22secret%22%7D": "pg://host?__extra__=***",
    "pg://host?__extra__=secret": "pg://host?__extra__=***",
    'pg://host?a={"token":"secret"}&b=1': "pg://host?a=***&b=1",
    "pg://host?p%61ssword=12345": "pg://host?p%61ssword=***",
    "pg://host:5432/db?timeout=10": "pg://host:5432/db?timeout=10",
    "pg://ada@host": "pg://ada@host",
    "pg://ada:***@host?password=***": "pg://ada:***@host?password=***",
    "nonsense": "***",
    "ada:secret@host": "***",
    "pg://ada:1/secret@host": "***",
    "pg://ada:secret#1@host": "***",
    "pg://[::secret": "***",
    "a://b://c://ada:secret@host": "***",
    f"pg://host?a={'[' * 100_000}": "***",
}


@pytest.mark.parametrize(("address", "shown"), SHOWN.items(), ids=range(len(SHOWN)))
def test_secrets_are_masked_and_everything_else_is_as_it_was_sent(address, shown):
    assert shown_address.of(address) == shown
