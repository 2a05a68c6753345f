"""Values that the schema of the database allows in a column, put into the rows of the scenario and taken out again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import JSON, Column, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeDecorator

_DEPTH = 2_000
# JSON texts that Python, orjson or a schema of the contract may reject.
DOCUMENTS = {
    "huge numbers": '{"order": 20261201123456789012345, "list": [-20261201123456789012345, 1e400]}',
    "no JSON of PostgreSQL": '{"a": NaN, "b": [Infinity, -Infinity], "text": "\\ud800", "\\udfff": 1}',
    "deep and large": f'{{"a": {"[" * 300}{"]" * 300}, "b": "{"x" * 1_000_000}"}}',
    "a number longer than Python reads": f'{{"n": {"7" * 5_000}, "NaN": "Infinity"}}',
    "deeper than Python reads": f'{{"a": {"[" * _DEPTH}{"]" * _DEPTH}}}',
    "number": "20261201123456789012345",
    "text": '"text"',
    "list": '[1, null, {"a": []}]',
    "null": "null",
}
# The prefix of this service's own tables.
_OWN = "rest_api_"
# An update leaves these rows alone, so that lists hold both kinds.
_UNCHANGED_DAG = "etl"


# The ids of the contract's examples.
_OPERATION, _DEPLOYMENT = "7c0f4f0e-3f0a-4c43-9d7e-0c1f5a1d2b3c", "3f0c2f5e-6a5c-4a53-9a55-2f2f7a4f0c11"


def tables() -> dict[str, Table]:
    """The tables of Airflow and of this service by name."""
    from airflow import models
    from airflow.models.base import Base

    from airflow_rest_api.storage.tables import metadata

    models.import_all_models()
    return {**Base.metadata.tables, **metadata.tables}


@contextmanager
def examples() -> Iterator[None]:
    """Insert the operation and the deployment that the contract's examples name: the scenario has none."""
    from airflow.utils.session import create_session

    from airflow_rest_api.storage.tables import deployment, operation

    now = datetime.now(timezone.utc)
    caller = {"caller_id": "admin", "caller_name": "admin"}
    moments = {"created_at": now, "ended_at": now}
    with create_session(scoped=False) as session:
        session.execute(
            operation.insert().values(
                id=_OPERATION,
                kind="refresh_dag",
                state="succeeded",
                request={},
                is_safe=True,
                is_cancelled=False,
                worker="none",
                leased_until=now,
                started_at=now,
                expires_at=now + timedelta(days=1),
                done=1,
                total=1,
                items=[],
                result={},
                error="",
                log="",
                **caller,
                **moments,
            )
        )
        session.execute(
            deployment.insert().values(
                id=_DEPLOYMENT,
                state="live",
                place="0" * 64,
                bundle_name="dags-folder",
                path="example.py",
                kind="file",
                number=1,
                sha256="0" * 64,
                size=0,
                dag_ids=["manual"],
                message="",
                client="127.0.0.1",
                options={},
                steps=[],
                errors=[],
                dag_versions=[],
                stored_at=now,
                asked_at=now,
                **caller,
                **moments,
            )
        )
    yield
    with create_session(scoped=False) as session:
        session.execute(operation.delete().where(operation.c.id == _OPERATION))
        session.execute(deployment.delete().where(deployment.c.id == _DEPLOYMENT))


@dataclass(frozen=True)
class Value:
    """Columns of a table and what its rows get in them: NULL, or one of `DOCUMENTS`."""

    table: Table
    columns: tuple[Column[Any], ...]
    document: str | None = None

    def __str__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"{self.table.name} ({names}) = {self.document or 'NULL'}"


def nulls(table: Table, *, together: bool) -> Iterator[Value]:
    """NULL for each nullable column of a table, or for all of them together."""
    nullable = tuple(column for column in table.columns if column.nullable)
    if not together:
        yield from (Value(table, (column,)) for column in nullable)
    elif nullable:
        yield Value(table, nullable)


def documents(table: Table) -> Iterator[Value]:
    """Each of `DOCUMENTS` for the JSON columns of a table."""
    for name in DOCUMENTS:
        if columns := tuple(each for each in table.columns if _is_json(each) and _holds(each, name)):
            yield Value(table, columns, name)


def _holds(column: Column[Any], name: str) -> bool:
    """Tell whether a column may hold a document: some are written and read in one shape by the same code."""
    if column.table.name.startswith(_OWN):
        return DOCUMENTS[name].startswith("{") and not name.endswith("than Python reads")
    return str(column) != "task_instance.next_kwargs" or DOCUMENTS[name].startswith(("{", "null"))


def _is_json(column: Column[Any]) -> bool:
    kind = column.type
    return isinstance(kind.impl_instance if isinstance(kind, TypeDecorator) else kind, JSON)


@contextmanager
def backed_up(tables: Sequence[Table]) -> Iterator[None]:
    """Keep copies of the tables, from which `stored` restores a column."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        for table in tables:
            session.execute(text(f'CREATE TABLE "backup_{table.name}" AS SELECT * FROM "{table.name}"'))
    try:
        yield
    finally:
        with create_session(scoped=False) as session:
            for table in tables:
                session.execute(text(f'DROP TABLE "backup_{table.name}"'))


@contextmanager
def stored(value: Value) -> Iterator[bool]:
    """Store a value in all rows but those of the DAG `etl`, and restore them; false if the database rejects it."""
    try:
        _update(value)
    except DBAPIError:
        yield False
        return
    try:
        yield True
    finally:
        _restore(value)


def _update(value: Value) -> None:
    from airflow.utils.session import create_session

    given = {"document": DOCUMENTS[value.document]} if value.document else {}
    is_of_dag = "dag_id" in value.table.columns and all(each.name != "dag_id" for each in value.columns)
    where = f"WHERE dag_id <> '{_UNCHANGED_DAG}'" if is_of_dag else ""
    with create_session(scoped=False) as session:
        dialect = session.get_bind().dialect
        new = {
            column.name: f"CAST(:document AS {column.type.compile(dialect)})"
            if dialect.name == "postgresql"
            else ":document"
            for column in value.columns
        }
        changes = ", ".join(f'"{name}" = {term if given else "NULL"}' for name, term in new.items())
        session.execute(text(f'UPDATE "{value.table.name}" SET {changes} {where}'), given)


def _restore(value: Value) -> None:
    from airflow.utils.session import create_session

    name = value.table.name
    same = " AND ".join(f'b."{key.name}" = "{name}"."{key.name}"' for key in value.table.primary_key)
    kept = ", ".join(
        f'"{column.name}" = (SELECT "{column.name}" FROM "backup_{name}" b WHERE {same})'
        for column in value.columns
    )
    with create_session(scoped=False) as session:
        session.execute(text(f'UPDATE "{name}" SET {kept}'))
