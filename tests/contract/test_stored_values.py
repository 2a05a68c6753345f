"""Reads survive every value that the schema of the database allows: none of them ends in a server error."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_rest_api.web import contract
from tests.support import calls, clients, stored_values

pytestmark = pytest.mark.slow

OLD = "/rest_api/api"
CONTRACTS = {clients.REST: contract.load("openapi.yaml"), OLD: contract.load("legacy.yaml")}
OPERATIONS = [
    (prefix, document, operation)
    for prefix, document in CONTRACTS.items()
    for operation in contract.operations(document)
    if operation.read_only
]
# What the examples read no row for: disabled features, and files that only tests make.
WITHOUT_ROWS = {
    *("validate_dag", "get_component_log", "get_celery_workers", "get_file"),
    # A GET of an old call has no example of its optional arguments; its POST has.
    "dag_state",
}
_NAMES = re.compile(r'(?:FROM|JOIN)\s+"?(\w+)"?')


class Reads:
    """The read operations of the contracts, and the tables that each of them reads."""

    def __init__(self, rest, token):
        self._services = {prefix: clients.Client(rest.http, prefix, token) for prefix in CONTRACTS}
        self.tables = stored_values.tables()
        self._calls = defaultdict(list)
        for prefix, document, operation in OPERATIONS:
            call = calls.plainest(document, operation)
            with self._read_by() as names:
                response = self.send(prefix, call)
            assert operation.operation_id in WITHOUT_ROWS or response.status_code == operation.status, call
            for name in names:
                self._calls[name].append((prefix, call))

    def send(self, prefix, call):
        return self._services[prefix].request(call.operation.method, call.path, **call.options())

    def read_tables(self):
        return [self.tables[name] for name in sorted(self._calls)]

    def failures(self, value):
        """The calls that read the table of a stored value and end in a server error."""
        for prefix, call in self._calls[value.table.name]:
            response = self.send(prefix, call)
            if response.status_code >= 500:
                yield f"{value}: {prefix} {call} is {response.status_code}"

    @contextmanager
    def _read_by(self) -> Iterator[set[str]]:
        found: set[str] = set()

        def note(_connection, _cursor, statement, *_):
            found.update(set(_NAMES.findall(statement)) & self.tables.keys())

        event.listen(Engine, "before_cursor_execute", note)
        try:
            yield found
        finally:
            event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def reads(rest, token):
    with stored_values.examples():
        yield Reads(rest, token)


def failures(reads, values):
    rejected, found = [], []
    with stored_values.backed_up(reads.tables.values()):
        for value in values:
            with stored_values.stored(value) as is_stored:
                if is_stored:
                    found += reads.failures(value)
                else:
                    rejected.append(str(value))
    return found, rejected


def null_anywhere(reads, *, together):
    values = [
        value for table in reads.read_tables() for value in stored_values.nulls(table, together=together)
    ]
    found, rejected = failures(reads, values)
    assert found == [], "\n".join(found)
    assert rejected == []


def documents_anywhere(reads):
    values = [value for table in reads.read_tables() for value in stored_values.documents(table)]
    found, rejected = failures(reads, values)
    assert found == [], "\n".join(found)
    return {value.partition(" = ")[2] for value in rejected}


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
class TestOnSqlite:
    def test_null_in_any_nullable_column(self, reads):
        null_anywhere(reads, together=False)

    @pytest.mark.invalid_responses
    def test_any_document_in_a_json_column(self, reads):
        assert documents_anywhere(reads) == set()


@pytest.mark.in_process
@pytest.mark.postgres
class TestOnPostgres:
    def test_null_in_all_nullable_columns_of_a_table(self, reads):
        null_anywhere(reads, together=True)

    @pytest.mark.invalid_responses
    def test_any_document_in_a_json_column(self, reads):
        assert documents_anywhere(reads) == {"no JSON of PostgreSQL"}
