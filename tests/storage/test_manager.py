"""Our own tables: migrated from nothing, more than once, by several at once, and refused where they are not right."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import OperationalError

from airflow_rest_api.storage import manager
from airflow_rest_api.storage.manager import NotMigrated, RestApiDBManager
from airflow_rest_api.storage.tables import metadata
from tests.support import environment, postgres

TABLES = {
    f"rest_api_{name}"
    for name in (
        *("refresh_token", "revocation", "login_failure", "idempotency", "operation"),
        *("deployment", "deployment_dag", "deployed_path", "selection"),
    )
}
VERSIONS = "alembic_version_rest_api"


def tables():
    from airflow import settings

    return {name for name in inspect(settings.engine).get_table_names() if "rest_api" in name}


@contextmanager
def session():
    from airflow.utils.session import create_session

    with create_session(scoped=False) as opened:
        yield opened


@pytest.fixture
def empty(metadata_database, tmp_path, request):
    """A database without a table, in place of the tests' own."""
    with postgres.in_use(environment.sqlite_url(tmp_path)):
        yield tmp_path


@pytest.fixture
def without_tables(metadata_database):
    """The database of the test without our tables; they are made again afterwards."""
    drop()
    yield
    drop()
    manager.migrate()


def drop():
    from airflow import settings

    with session() as opened, settings.engine.begin() as connection:
        RestApiDBManager(opened).drop_tables(connection)


class TestMigration:
    def test_the_tables_come_from_nothing(self, empty):
        manager.migrate()
        assert tables() == TABLES | {VERSIONS}
        manager.migrate()
        assert tables() == TABLES | {VERSIONS}

    def test_the_history_makes_what_the_metadata_says(self, empty):
        from airflow import settings

        with session() as opened:
            RestApiDBManager(opened).upgradedb(use_migration_files=True)
        with settings.engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "compare_type": True,
                    "include_object": lambda _, name, kind, *__: kind != "table" or name in metadata.tables,
                },
            )
            assert compare_metadata(context, metadata) == []
            assert {
                column["name"] for column in inspect(connection).get_columns("rest_api_refresh_token")
            } == set(metadata.tables["rest_api_refresh_token"].columns.keys())

    def test_the_history_leads_back(self, empty):
        manager.migrate()
        with session() as opened:
            config = RestApiDBManager(opened).get_alembic_config()
        command.downgrade(config, "base")
        assert tables() == {VERSIONS}
        command.upgrade(config, "head")
        assert tables() == TABLES | {VERSIONS}

    def test_the_history_can_be_printed(self, empty, capsys):
        with session() as opened:
            RestApiDBManager(opened).upgradedb(use_migration_files=True, show_sql_only=True)
        assert "CREATE TABLE rest_api_refresh_token" in capsys.readouterr().out
        assert tables() == set()

    def test_airflow_may_drop_them(self, empty):
        manager.migrate()
        drop()
        assert tables() == set()

    def test_on_sqlite_they_are_made_at_start(self, empty):
        manager.ensure_migrated()
        assert tables() == TABLES | {VERSIONS}
        manager.ensure_migrated()

    def test_one_that_ends_half_way_leaves_nothing_behind(self, empty, monkeypatch):
        upgrade = manager.command.upgrade

        def ends(config, _):
            upgrade(config, "0002")
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(manager.command, "upgrade", ends)
            with pytest.raises(KeyboardInterrupt):
                manager.ensure_migrated()
        assert tables() == set()
        manager.ensure_migrated()
        assert tables() == TABLES | {VERSIONS}

    def test_two_processes_make_them_at_once(self, empty):
        variables = environment.prepare(empty)
        covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        started = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", ENSURE],
                env=environment.inherited() | variables | covered,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        for child in started:
            assert child.stdout.readline() == "ready\n"
        for child in started:
            child.stdin.write("go\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=60)[0] for child in started]
        assert [child.returncode for child in started] == [0, 0], outputs
        assert tables() == TABLES | {VERSIONS}


ENSURE = """
from airflow_rest_api.storage import manager
import airflow.settings, sys
print("ready", flush=True)
sys.stdin.readline()
manager.ensure_migrated()
"""


class TestOthersMigration:
    def test_another_process_is_waited_for(self, metadata_database, monkeypatch):
        states = iter([False, False, False, True])
        monkeypatch.setattr(manager, "_is_current", lambda: next(states))
        monkeypatch.setattr(manager, "migrate", self.fail)
        manager.ensure_migrated()

    def test_but_not_without_end(self, metadata_database, monkeypatch):
        monkeypatch.setattr(manager, "OTHERS_SECONDS", 0.15)
        monkeypatch.setattr(manager, "_is_current", lambda: False)
        monkeypatch.setattr(manager, "migrate", self.fail)
        with pytest.raises(OperationalError):
            manager.ensure_migrated()

    def fail(self):
        raise OperationalError("CREATE TABLE", {}, Exception("table exists already"))


@pytest.mark.postgres
class TestPostgres:
    def test_an_administrator_decides_when(self, without_tables):
        with pytest.raises(NotMigrated, match="run `airflow-rest-api db migrate`"):
            manager.ensure_migrated()
        manager.migrate()
        manager.ensure_migrated()
        assert tables() == TABLES | {VERSIONS}

    def test_the_history_makes_what_the_metadata_says(self, without_tables):
        from airflow import settings

        with session() as opened:
            RestApiDBManager(opened).upgradedb(use_migration_files=True)
        with settings.engine.connect() as connection:
            opts = {
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in TABLES,
            }
            assert compare_metadata(MigrationContext.configure(connection, opts=opts), metadata) == []

    def test_several_may_migrate_at_once(self, without_tables):
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: manager.migrate(), range(3)))
        assert tables() == TABLES | {VERSIONS}


def test_a_closed_database_is_told(metadata_database, monkeypatch):
    @contextmanager
    def away(**_):
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))
        yield

    monkeypatch.setattr(manager, "create_session", away)
    with pytest.raises(manager.DatabaseAway, match="does not answer"):
        manager.ensure_migrated()


def test_the_template_of_the_tests_has_the_tables(metadata_database, home):
    import sqlite3

    with closing(sqlite3.connect(home / "airflow.db")) as database:
        found = database.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%rest_api%' AND type = 'table'"
        )
        assert {name for (name,) in found} >= TABLES
