"""Sessions on Airflow's metadata database: one unit of work, one transaction, one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tenacity
from airflow.utils.session import create_session
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from airflow_rest_api.services import errors, stored_json

Result = TypeVar("Result")

ATTEMPTS = 6
# What a driver or the pool raises when the database is down, locked or has no free connection.
_UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout)
_TRANSIENT = ("locked", "deadlock", "could not serialize", "lock wait timeout")


class ChangedMeanwhile(errors.Conflict):
    """Somebody else changed a row between our reading and our writing it, again and again."""

    title = "The object was changed meanwhile"

    def __init__(self) -> None:
        super().__init__("What the request is about was changed by somebody else meanwhile; try again.")


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable at present."""
    return isinstance(error, _UNAVAILABLE)


@contextmanager
def failures_translated() -> Iterator[None]:
    """Raise `DatabaseUnavailable` for the errors of a database that is down, locked or has no free connection."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise errors.DatabaseUnavailable from error


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Open a session of its own, commit it at the end, roll it back when anything is raised.

    Never Airflow's thread-local scoped session: any `@provide_session` function called without
    ``session=`` would commit and close that one in the middle of our transaction. The sessions do
    not flush by themselves, and objects stay usable after the commit.

    Raises `DatabaseUnavailable`, `ValueRejected` or `AlreadyExists` for what the database refuses,
    `ChangedMeanwhile` where a row that is to be changed is not there any more, and `StoredValueUnreadable`.
    """
    try:
        with failures_translated(), create_session(scoped=False) as session:
            yield session
    except DataError as fault:
        raise errors.ValueRejected("The database cannot hold one of the values sent.") from fault
    except IntegrityError as fault:
        raise errors.AlreadyExists("An object with the same identity exists already.") from fault
    except (RecursionError, ValueError) as fault:
        if not stored_json.is_unreadable(fault):
            raise
        raise errors.StoredValueUnreadable from fault
    except StaleDataError as fault:
        # Airflow gives a task instance another id at each try.
        raise ChangedMeanwhile from fault


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session for statements that read and nothing else; raises what `unit_of_work` raises.

    PostgreSQL gives each statement the state that is committed when it begins, within a transaction (READ
    COMMITTED) as without: so there is none, which saves the two messages that begin and end it.
    """
    with unit_of_work() as session:
        if session.get_bind().dialect.name != "postgresql":
            yield session
            return
        # Said to the driver itself: SQLAlchemy's AUTOCOMMIT would send a message to set the level back.
        connection: Any = session.connection().connection.dbapi_connection
        connection.autocommit = True
        try:
            yield session
        finally:
            if not connection.closed:
                connection.autocommit = False


def write(work: Callable[[Session], Result]) -> Result:
    """Run ``work`` in a unit of work of its own, again from the start when a lock stood in its way.

    A statement is never retried alone: a database that found a deadlock has rolled the whole transaction back.
    """

    def attempt() -> Result:
        with unit_of_work() as session:
            if session.get_bind().dialect.name == "sqlite":
                # SQLite refuses, at once, a writer that read before somebody else committed; one that asks for the
                # lock first waits for it as long as its connections are told to.
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            return work(session)

    return _retrying()(attempt)


def _retrying() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=1.0),
        reraise=True,
    )


def _is_transient(fault: BaseException) -> bool:
    if isinstance(fault, ChangedMeanwhile):
        return True
    cause = fault.__cause__
    return isinstance(cause, DBAPIError) and any(word in str(cause.orig).lower() for word in _TRANSIENT)
