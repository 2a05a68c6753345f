"""Login limits: how many passwords may be tried for a name, and from a network, before there is a pause.

The counts are in the database, so that all replicas share them. A guess is counted before the password is looked at:
of a thousand that come at once, those beyond the limit find the count full.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import tenacity
from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.security import login_names
from airflow_rest_api.security.keys import Keys, keyed_hash
from airflow_rest_api.security.networks import network_of
from airflow_rest_api.security.turns import Turns
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.storage.tables import login_failure as table

WINDOW = timedelta(minutes=15)
# Attempts count as failed until they are known to have succeeded, so that of many good ones at once some wait for the
# others, and find the count low again.
AT_ONCE = 4
# How often a row may be made by another call at the same time, and be gone again, before this gives up.
_ATTEMPTS = 40
_PAUSE_SECONDS = 0.05


class TooManyLogins(errors.TooManyRequests):
    """Too many logins have failed; whether the user exists makes no difference."""

    title = "Too many failed logins"

    def __init__(self, wait: timedelta) -> None:
        seconds = max(1, math.ceil(wait.total_seconds()))
        super().__init__(
            "Too many logins have failed; `Retry-After` tells how many seconds to wait.", retry_after=seconds
        )


@dataclass(frozen=True)
class Limit:
    """At most ``most`` failures count in one row, and after the first ``free`` of them there are pauses.

    The pause is one second, and doubles with each failure. A full row is forgotten `WINDOW` after its last failure,
    or with ``fixed`` after its first.
    """

    free: int
    most: int
    fixed: bool = False

    def pause(self, failures: int) -> timedelta:
        """Return how long after the last failure the next attempt has to wait, in a row that is not full."""
        return timedelta(seconds=0 if failures < self.free else 2 ** (failures - self.free))

    def wait(self, row: Any, now: datetime) -> timedelta:
        """Return for how long from now no attempt is possible; zero or less when one is."""
        if row.failures < self.free:
            # Counted perhaps after ``now`` was read, by another thread or by another machine's clock.
            return timedelta(0)
        if row.failures < self.most:
            return row.last_at + self.pause(row.failures) - now  # type: ignore[no-any-return]
        return (row.since if self.fixed else row.last_at) + WINDOW - now  # type: ignore[no-any-return]

    def open(self, now: datetime) -> ColumnElement[bool]:
        """Return the condition under which a row takes one failure more: that of `wait`, for the database."""
        pauses = range(self.free, self.most)
        rested = (and_(table.c.failures == n, table.c.last_at <= now - self.pause(n)) for n in pauses)
        return or_(table.c.failures < self.free, *rested)


# For one name from one network: in any 15 minutes no more than ten, because the row outlives its last failure by them.
NAME = Limit(free=5, most=10)
# For one account from one network, whatever it is called: a user of Flask-AppBuilder has a name and an e-mail address.
ACCOUNT = Limit(free=10, most=10)
# For one network, whatever it tries: many names with one password each.
NETWORK = Limit(free=100, most=100, fixed=True)


@dataclass(frozen=True)
class _Bucket:
    """A row that counts: whose, and up to where."""

    key: str
    limit: Limit


@dataclass(frozen=True)
class _Buckets:
    """The rows in which one attempt counts; always locked in this order."""

    name: _Bucket
    network: _Bucket
    account: _Bucket

    def counted(self, *, admitted: bool) -> list[str]:
        """Return where the attempt was counted."""
        return [self.name.key, self.network.key, *([self.account.key] if admitted else [])]


class LoginLimits:
    """Lets attempts to log in through, or has them wait."""

    def __init__(self, keys: Keys) -> None:
        self._key = keys.derived("login limits")
        self._turns = Turns(AT_ONCE)

    @contextmanager
    def attempt(self, username: str, client: str) -> Iterator[bool]:
        """Count an attempt as failed, and let the password be checked inside; raises `TooManyLogins` before.

        Gives False when the account has had its guesses under another name: then nothing must be checked, and the
        answer be that of a wrong password, since any other would tell that the two names are one user's. The failures
        of the user from this network are forgotten when nothing is raised inside, and the attempt does not count when
        it was not the caller who failed.
        """
        buckets = self._buckets(username, network_of(client))
        with reading() as session:
            # Refused by reading alone, and without waiting for a turn: a flood of guesses writes nothing.
            _require_open(session, [buckets.name, buckets.network], _now())
        with self._turns.taken(buckets.name.key):
            admitted = _reserved(buckets)
            try:
                yield admitted
            except (errors.Denied, errors.Unavailable):
                write(lambda session: _give_back(session, buckets.counted(admitted=admitted)))
                raise
            write(lambda session: _forget(session, buckets))

    def _buckets(self, username: str, network: str) -> _Buckets:
        name = login_names.read(username)
        return _Buckets(
            _Bucket(self._hashed("name", name.spelling, network), NAME),
            _Bucket(self._hashed("network", network), NETWORK),
            _Bucket(self._hashed("account", name.account, network), ACCOUNT),
        )

    def _hashed(self, *whose: str) -> str:
        return keyed_hash(self._key, "\0".join(whose))


def _reserved(buckets: _Buckets) -> bool:
    """Count an attempt; tell whether the account takes it too. Raises `TooManyLogins`."""
    # Where another attempt made a row first, there is one to count in now.
    counting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(errors.AlreadyExists),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random(0, _PAUSE_SECONDS),
    )
    try:
        admitted: bool = counting(write, lambda session: _reserve(session, buckets))
    except tenacity.RetryError:
        raise errors.DatabaseUnavailable from None
    return admitted


def _reserve(session: Session, buckets: _Buckets) -> bool:
    now = _now()
    _forget_old(session, buckets.network, now)
    for bucket in (buckets.name, buckets.network):
        if not _count(session, bucket, now):
            _require_open(session, [buckets.name, buckets.network], now)
            # It was made, or opened, in the moment between the statements: counted anew.
            raise errors.AlreadyExists("The count has changed.")
    return _count(session, buckets.account, now)


def _count(session: Session, bucket: _Bucket, now: datetime) -> bool:
    """Count one failure more unless the bucket is full or pausing. One statement decides, whatever comes at once."""
    counted = session.execute(
        update(table)
        .where(table.c.bucket == bucket.key, bucket.limit.open(now))
        .values(failures=table.c.failures + 1, last_at=now)
    )
    if counted.rowcount == 1:  # type: ignore[attr-defined]
        return True
    if session.scalar(select(table.c.bucket).where(table.c.bucket == bucket.key)) is not None:
        return False
    session.execute(insert(table).values(bucket=bucket.key, failures=1, since=now, last_at=now))
    return True


def _require_open(session: Session, buckets: Sequence[_Bucket], now: datetime) -> None:
    limits = {bucket.key: bucket.limit for bucket in buckets}
    rows = session.execute(select(table).where(table.c.bucket.in_(limits)))
    waits = [limits[row.bucket].wait(row, now) for row in rows]
    wait = max(waits, default=timedelta(0))
    if wait > timedelta(0):
        raise TooManyLogins(wait)


def _forget_old(session: Session, network: _Bucket, now: datetime) -> None:
    before = now - WINDOW
    # `since` is older than `last_at`, and has the index.
    idle = and_(table.c.since <= before, table.c.last_at <= before)
    session.execute(
        delete(table).where(or_(idle, and_(table.c.bucket == network.key, table.c.since <= before)))
    )


def _forget(session: Session, buckets: _Buckets) -> None:
    session.execute(delete(table).where(table.c.bucket == buckets.name.key))
    _give_back(session, [buckets.network.key])
    session.execute(delete(table).where(table.c.bucket == buckets.account.key))


def _give_back(session: Session, keys: Sequence[str]) -> None:
    for key in keys:
        mine = and_(table.c.bucket == key, table.c.failures > 0)
        session.execute(update(table).where(mine).values(failures=table.c.failures - 1))


def _now() -> datetime:
    return datetime.now(timezone.utc)
