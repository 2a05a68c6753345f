"""Alembic's entry point for our tables: it never sees Airflow's."""

from __future__ import annotations

from typing import Any

from airflow import settings
from alembic import context
from sqlalchemy import Connection

from airflow_rest_api.storage.manager import RestApiDBManager

_OPTIONS: dict[str, Any] = {
    "target_metadata": RestApiDBManager.metadata,
    "version_table": RestApiDBManager.version_table_name,
    "include_object": lambda _, name, kind, *__: kind != "table" or name in RestApiDBManager.metadata.tables,
    "render_as_batch": True,
    "compare_type": True,
}


def _run_offline() -> None:
    context.configure(url=settings.SQL_ALCHEMY_CONN, literal_binds=True, **_OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def _run_online() -> None:
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:  # in a transaction that is not ours to end
        _run_on(given)
        return
    assert settings.engine is not None
    with settings.engine.connect() as connection:
        _run_on(connection)


def _run_on(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=True, **_OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
