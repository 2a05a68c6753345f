"""Migrations of our own tables, through Airflow's interface for databases beside its own.

An administrator may name `airflow_rest_api.storage.manager.RestApiDBManager` in `[database] external_db_managers`;
then `airflow db migrate` migrates these tables too.
"""

from __future__ import annotations

from pathlib import Path

import tenacity
from airflow.utils.db import DBLocks, create_global_lock
from airflow.utils.db_manager import BaseDBManager
from airflow.utils.session import create_session
from alembic import command
from sqlalchemy.exc import OperationalError

from airflow_rest_api.storage.tables import metadata

_HERE = Path(__file__).parent
# How long another process may take to create the tables.
OTHERS_SECONDS = 10.0


class RestApiDBManager(BaseDBManager):
    """Manages the tables whose names start with `rest_api_`."""

    metadata = metadata
    version_table_name = "alembic_version_rest_api"
    migration_dir = (_HERE / "migrations").as_posix()
    alembic_file = (_HERE / "alembic.ini").as_posix()
    supports_table_dropping = True

    def upgradedb(
        self,
        to_revision: str | None = None,
        from_revision: str | None = None,
        show_sql_only: bool = False,
        use_migration_files: bool = False,
    ) -> None:
        """Migrate as Airflow does; on SQLite in one transaction, since it has no lock for migrations.

        There every step and its stamp become visible together: two processes that migrate at once take turns, and
        one that is killed in the middle leaves nothing behind.
        """
        engine = self.session.get_bind()
        if show_sql_only or engine.dialect.name != "sqlite":
            super().upgradedb(to_revision, from_revision, show_sql_only, use_migration_files)
            return
        self.session.commit()  # Alembic works on a connection of its own
        config = self.get_alembic_config()
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, to_revision or "heads")
            connection.commit()


class NotMigrated(Exception):
    """Our tables are missing or of another release."""

    def __init__(self) -> None:
        super().__init__(
            "the tables of airflow-rest-api are not up to date: run `airflow-rest-api db migrate`"
        )


class DatabaseAway(Exception):
    """The metadata database does not answer."""

    def __init__(self) -> None:
        super().__init__("Airflow's metadata database ([database] sql_alchemy_conn) does not answer")


def migrate() -> None:
    """Bring our tables to this release's state; several processes may call this at once."""
    with (
        create_session(scoped=False) as session,
        create_global_lock(session=session, lock=DBLocks.MIGRATIONS),
    ):
        manager = RestApiDBManager(session)
        if not manager.check_migration():
            manager.upgradedb()


def ensure_migrated() -> None:
    """Check our tables, and on SQLite, which has one machine and one user, migrate them.

    Raises `NotMigrated` on every other database: there an administrator decides when; and `DatabaseAway`.
    """
    try:
        current = _is_current()
    except OperationalError as fault:
        raise DatabaseAway from fault
    if current:
        return
    if not _is_sqlite():
        raise NotMigrated
    _migrate_with_others()


def _migrate_with_others() -> None:
    """Migrate although other processes may do so at the same time: who finds the database locked tries again."""
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OperationalError),
        stop=tenacity.stop_after_delay(OTHERS_SECONDS),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    attempts(lambda: None if _is_current() else migrate())


def _is_current() -> bool:
    with create_session(scoped=False) as session:
        return bool(RestApiDBManager(session).check_migration())


def _is_sqlite() -> bool:
    with create_session(scoped=False) as session:
        return session.get_bind().dialect.name == "sqlite"
