"""Connections as URIs: what is written is read as the same connection, by this service and by Airflow."""

from __future__ import annotations

import json

import pytest

from airflow_rest_api.services.exchange import connection_address

NOTHING = dict.fromkeys(("conn_type", "host", "login", "password", "schema", "port", "extra"))
ODD = "p@ss:w/rd?&=#%+ ü🐎'\"\\\n\t[]{}"
CASES = {
    "a type alone": {"conn_type": "http"},
    "everything odd": {
        "conn_type": "postgres",
        "host": "db.example.com",
        "login": ODD,
        "password": ODD,
        "schema": ODD,
        "port": 5432,
        "extra": json.dumps({ODD: ODD, "nested": {"a": [1, None]}}),
    },
    "texts that look like JSON": {
        "conn_type": "aws",
        "extra": json.dumps({"a": "1", "b": "true", "c": "{}"}),
    },
    "an extra of plain texts": {"conn_type": "aws", "extra": json.dumps({"a": "b c&d=e", "empty": ""})},
    "a host with capitals": {"conn_type": "snowflake", "host": "Account.EU-West", "login": "Etl"},
    "a host with a protocol": {"conn_type": "http", "host": "https://Api.Example.com"},
    "a host with a protocol, a path and a port": {
        "conn_type": "http",
        "host": "https://example.com/v1",
        "port": 443,
    },
    "a host with its own protocol": {"conn_type": "http", "host": "http://example.com"},
    "a host with a path": {"conn_type": "fs", "host": "/var/Data/x y"},
    "an address as host": {"conn_type": "ssh", "host": "2001:db8::1", "port": 22},
    "a host that is a list": {"conn_type": "kafka", "host": "a.example.com,b.example.com"},
    "an underscore": {"conn_type": "google_cloud_platform", "extra": "{}"},
    "a port alone": {"conn_type": "redis", "port": 6379},
    "a login alone": {"conn_type": "ssh", "login": "root"},
    "a password alone": {"conn_type": "redis", "password": "::"},
    "a schema alone": {"conn_type": "mysql", "schema": "a/b"},
    "an extra alone": {"conn_type": "aws", "extra": json.dumps({"__extra__": "x"})},
    "a host with two protocols": {"conn_type": "http", "host": "a://b://c"},
    "a scheme within a login": {"conn_type": "http", "host": "h", "login": "a://b", "password": "c://d"},
}
# No URI says these, so that none is written which says something else.
UNSAYABLE = [
    {"conn_type": "with space"},
    {"conn_type": "Capital"},
    {"conn_type": "with-dash"},
    {"conn_type": "postgresql"},
    {"conn_type": "http", "port": 99999},
    {"conn_type": "http", "extra": "no JSON"},
]


def comparable(fields):
    return {**fields, "extra": json.loads(fields["extra"] or "{}")}


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_as_the_same_by_both(name):
    from airflow.models.connection import Connection

    fields = {**NOTHING, **CASES[name]}
    address = connection_address.written(fields)
    assert address is not None
    assert comparable(connection_address.read(address)) == comparable(fields)
    theirs = Connection(conn_id="x", uri=address)
    assert comparable({field: getattr(theirs, field) or None for field in NOTHING}) == comparable(fields)


@pytest.mark.parametrize(
    "name", ["a type alone", "an extra of plain texts", "a host with a protocol, a path and a port"]
)
def test_it_is_what_airflow_writes_where_that_says_the_same(name):
    from airflow.models.connection import Connection

    fields = {**NOTHING, **CASES[name]}
    assert connection_address.written(fields) == Connection(conn_id="x", **CASES[name]).get_uri()


@pytest.mark.parametrize("fields", UNSAYABLE, ids=str)
def test_what_no_uri_says_is_not_written(fields):
    assert connection_address.written({**NOTHING, **fields}) is None


@pytest.mark.parametrize(
    "address", ["http://h:secret", "a://b://c://secret", "http://[secret", "http://h:99999"]
)
def test_a_refusal_quotes_nothing(address):
    with pytest.raises(connection_address.Unreadable) as caught:
        connection_address.read(address)
    assert str(caught.value) == "It is no URI of a connection."
