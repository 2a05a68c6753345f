"""The unit of work: what it gives back, what it refuses, and what it tries again."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import exc, insert, select, text
from sqlalchemy.orm.exc import StaleDataError

from airflow_rest_api.services import database, errors
from airflow_rest_api.services.database import reading, unit_of_work, write
from airflow_rest_api.storage.tables import refresh_token as table
from tests.web.conftest import build  # noqa: F401 a fixture
from tests.web.small import operation


def row(token, **changed):
    from airflow._shared.timezones.timezone import utcnow

    common = {"family_id": "f", "user_claims": {}, "user_name": "u"}
    return {"token_hash": token, **common, "created_at": utcnow(), "expires_at": utcnow(), **changed}


def stored():
    with unit_of_work() as session:
        return set(session.scalars(select(table.c.token_hash)))


@pytest.fixture(autouse=True)
def clean(metadata_database, restored_database):
    pass


class TestUnitOfWork:
    def test_what_is_done_in_it_stays(self):
        with unit_of_work() as session:
            session.execute(insert(table).values(row("a")))
        assert "a" in stored()

    def test_what_is_raised_in_it_undoes_it(self):
        with pytest.raises(KeyError), unit_of_work() as session:  # noqa: PT012
            session.execute(insert(table).values(row("a")))
            raise KeyError("x")
        assert "a" not in stored()

    def test_a_second_object_of_the_same_identity_is_a_conflict(self):
        with pytest.raises(errors.AlreadyExists) as refusal, unit_of_work() as session:  # noqa: PT012
            session.execute(insert(table).values(row("a")))
            session.execute(insert(table).values(row("a")))
        assert "INSERT" not in refusal.value.detail

    @pytest.mark.parametrize(
        ("fault", "refusal"),
        [
            (exc.OperationalError("SELECT secret", {}, Exception("at 10.0.0.1")), errors.DatabaseUnavailable),
            (exc.InterfaceError("SELECT secret", {}, Exception("closed")), errors.DatabaseUnavailable),
            (exc.TimeoutError("QueuePool limit"), errors.DatabaseUnavailable),
            (exc.DataError("SELECT secret", {}, Exception("out of range")), errors.ValueRejected),
            (exc.IntegrityError("SELECT secret", {}, Exception("unique")), errors.AlreadyExists),
            (errors.DagNotFound("etl"), errors.DagNotFound),
        ],
        ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
    )
    def test_what_the_database_says_becomes_a_refusal(self, fault, refusal):
        with pytest.raises(refusal) as caught, unit_of_work():
            raise fault
        assert not {"secret", "10.0.0.1", "QueuePool"} & set(caught.value.detail.replace(".", " ").split())

    @pytest.mark.postgres
    def test_postgresql_refuses_what_it_cannot_hold(self):
        with pytest.raises(errors.ValueRejected), unit_of_work() as session:
            session.execute(insert(table).values(row("a" * 65)))

    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            (exc.OperationalError("SELECT secret", {}, Exception("/var/db")), 503),
            (exc.TimeoutError("QueuePool limit"), 503),
            (exc.DataError("SELECT secret", {}, Exception("/var/db")), 422),
            (exc.IntegrityError("SELECT secret", {}, Exception("/var/db")), 409),
            (exc.ProgrammingError("SELECT secret", {}, Exception("/var/db")), 500),
        ],
        ids=lambda value: str(value) if isinstance(value, int) else type(value).__name__,
    )
    def test_the_answer_tells_nothing_of_the_statement(self, build, fault, status):  # noqa: F811
        def get_a():
            with unit_of_work():
                raise fault

        response = build({"/a": {"get": operation("get_a")}}, {"get_a": get_a}).get("a")
        assert response.status_code == status
        assert not any(
            word in response.text for word in ("SELECT", "secret", "/var", "QueuePool", "Traceback")
        )
        assert ("retry-after" in response.headers) == (status == 503)


class TestReading:
    def test_what_is_read_is_what_is_stored(self):
        with unit_of_work() as session:
            session.execute(insert(table).values(row("a")))
        with reading() as session:
            assert session.scalar(select(table.c.token_hash)) == "a"

    @pytest.mark.postgres
    def test_on_postgresql_it_opens_no_transaction_and_leaves_the_connection_as_it_was(self):
        with reading() as session:
            connection = session.connection().connection.dbapi_connection
            session.execute(text("SELECT 1"))
            assert connection.autocommit
            assert connection.info.transaction_status == 0
        assert not connection.autocommit
        with pytest.raises(KeyError), reading() as session:  # noqa: PT012
            session.execute(text("SELECT 1"))
            raise KeyError("x")
        assert not connection.autocommit

    @pytest.mark.postgres
    def test_on_postgresql_a_connection_that_is_lost_is_no_fault(self):
        with pytest.raises(errors.DatabaseUnavailable), reading() as session:  # noqa: PT012
            lost = session.scalar(text("SELECT pg_backend_pid()"))
            with unit_of_work() as other:
                other.execute(text(f"SELECT pg_terminate_backend({lost})"))
            time.sleep(0.1)
            session.execute(text("SELECT 1"))
        with reading() as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) != lost


class TestWrite:
    @pytest.fixture
    def impatient(self, monkeypatch):
        """Waits that are short, in the database and between the attempts."""
        from airflow import settings
        from sqlalchemy import event

        def hurry(connection, _):
            connection.execute("PRAGMA busy_timeout = 20")

        settings.engine.dispose()
        event.listen(settings.engine, "connect", hurry)
        monkeypatch.setattr(database.tenacity, "wait_random_exponential", lambda **_: lambda state: 0.05)
        yield
        event.remove(settings.engine, "connect", hurry)
        settings.engine.dispose()

    @pytest.fixture
    def locked(self, home):
        """Another connection that holds the lock for writing."""
        connection = sqlite3.connect(home / "airflow.db", isolation_level=None, check_same_thread=False)
        with closing(connection) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other
            if other.in_transaction:
                other.execute("ROLLBACK")

    @pytest.fixture
    def attempts(self, monkeypatch):
        """One entry for each transaction that was begun."""
        begun, known = [], database.unit_of_work

        def counted():
            begun.append(1)
            return known()

        monkeypatch.setattr(database, "unit_of_work", counted)
        return begun

    def test_a_row_that_is_gone_when_it_is_written_is_looked_for_again(self, impatient, attempts):
        def work(session):
            if len(attempts) < 3:
                raise StaleDataError("UPDATE statement on table 'secret' expected to update 1 row(s)")
            return "done"

        assert write(work) == "done"
        assert len(attempts) == 3

    def test_a_row_that_is_gone_each_time_is_a_conflict(self, impatient, attempts):
        def work(session):
            raise StaleDataError("UPDATE statement on table 'secret' expected to update 1 row(s)")

        with pytest.raises(database.ChangedMeanwhile) as caught:
            write(work)
        assert "secret" not in caught.value.detail
        assert len(attempts) == database.ATTEMPTS

    def test_a_locked_database_is_tried_again(self, impatient, locked, attempts):
        def let_go():
            deadline = time.monotonic() + 10
            while len(attempts) < 3 and time.monotonic() < deadline:
                time.sleep(0.005)
            locked.execute("COMMIT")

        with ThreadPoolExecutor(1) as other:
            other.submit(let_go)
            write(lambda session: session.execute(insert(table).values(row("a"))))
        assert 3 <= len(attempts) <= database.ATTEMPTS
        assert "a" in stored()

    def test_a_writer_has_the_lock_before_it_reads(self, impatient, home):
        """SQLite refuses, at once, a writer that read before another one committed: so no other one can."""
        with closing(sqlite3.connect(home / "airflow.db", isolation_level=None, timeout=0.02)) as other:
            other.execute("PRAGMA journal_mode = WAL")

            def work(session):
                session.execute(select(table.c.token_hash)).all()
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
                session.execute(insert(table).values(row("a")))

            write(work)
        assert "a" in stored()

    def test_it_gives_up_in_the_end(self, impatient, locked, attempts):
        with pytest.raises(errors.DatabaseUnavailable):
            write(lambda session: session.execute(insert(table).values(row("a"))))
        assert len(attempts) == database.ATTEMPTS

    @pytest.mark.parametrize("fault", [errors.AlreadyExists("No."), KeyError("x")])
    def test_a_refusal_is_not_tried_again(self, fault):
        attempts = []

        def work(session):
            attempts.append(1)
            raise fault

        with pytest.raises(type(fault)):
            write(work)
        assert attempts == [1]

    def test_a_database_that_is_away_is_not_tried_again(self):
        attempts = []

        def work(session):
            attempts.append(1)
            raise exc.OperationalError("SELECT 1", {}, Exception("connection refused"))

        with pytest.raises(errors.DatabaseUnavailable):
            write(work)
        assert attempts == [1]

    @pytest.mark.postgres
    def test_a_deadlock_is_tried_again(self):
        import threading

        with unit_of_work() as session:
            session.execute(table.delete())
            session.execute(insert(table).values([row("a"), row("b")]))
        together, attempts = threading.Barrier(2, timeout=10), []

        def crossing(first, second):
            def work(session):
                attempts.append(first)
                session.execute(table.update().where(table.c.token_hash == first).values(user_name="x"))
                if len(attempts) <= 2:
                    together.wait()
                session.execute(table.update().where(table.c.token_hash == second).values(user_name="x"))

            return work

        threads = [
            threading.Thread(target=write, args=[crossing(*pair)]) for pair in (("a", "b"), ("b", "a"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(attempts) == 3
