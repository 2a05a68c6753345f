"""Retries: what became of a call that carried a key, so that its repetition does nothing twice.

A row is claimed and committed before the service begins, and marked with the answer in the transaction of the
effect itself: it is done if, and only if, the effect is. What a crash leaves between the two is a claim that
nobody works on any more; the next call takes it over after `LEASE`.

Answers are kept as Airflow keeps the values of variables: encrypted with its Fernet keys, where it has some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from uuid import uuid4

from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, json_encoding
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.storage.tables import idempotency as table

Answer = TypeVar("Answer")

# How long a key is known (the Idempotency-Key draft asks for the time to be told), and how long a claim is
# respected of which nobody has heard: more than a call takes, less than a client waits.
KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=20)
_RUNNING, _DONE = "running", "done"


class KeyReused(errors.Unprocessable):
    """The key came with another request before."""

    title = "The idempotency key was used for another request"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key came with another request before; a new request needs a new key."
        )


class StillRunning(errors.Conflict):
    """The first call with this key has not ended."""

    title = "The first request is still running"

    def __init__(self) -> None:
        super().__init__(
            "The first request with this Idempotency-Key has not ended; repeat the call for its answer."
        )
        self.retry_after = 1


class AnswerUnreadable(errors.Conflict):
    """The first call has succeeded or failed, and what it was answered cannot be read any more."""

    title = "The first answer cannot be read any more"

    def __init__(self) -> None:
        super().__init__(
            "The first request with this Idempotency-Key has ended, and its answer was encrypted with a Fernet key"
            " that Airflow does not have any more; look up what became of it."
        )


@dataclass(frozen=True)
class Kept:
    """The first answer of a call with a key."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Claim:
    """The right to carry out the call with a key; ``is_done`` once its effect is committed with the answer.

    ``is_taken_over`` where another process began the call, and nobody knows how far it came.
    """

    scope: str
    attempt: str
    status: int
    is_taken_over: bool = False
    is_done: bool = False

    @property
    def planned_id(self) -> str:
        """An id for what the call makes: the same at every repetition, and for no other call."""
        return self.scope[:32]


_CLAIM: ContextVar[Claim | None] = ContextVar("claim", default=None)


def claim(scope: str, fingerprint: str, *, status: int) -> Claim | Kept:
    """Claim the call ``scope``, or return its first answer; ``status`` is what it answers when it succeeds.

    Raises `KeyReused` when the ``fingerprint`` of the request is another than the first one's, `StillRunning`.
    """
    row = _read(scope)
    if row is None:
        made = _begin(scope, fingerprint, status)
        if made is not None:
            return made
        row = _read(scope)
    if row is None:
        raise StillRunning  # given up by another call at this moment
    if row.fingerprint != fingerprint:
        raise KeyReused
    if row.state == _DONE:
        return Kept(row.status, _opened(row.body), row.headers)
    return _take_over(row, status)


@contextmanager
def carrying_out(claimed: Claim) -> Iterator[None]:
    """Let the services inside know that they work for this claim."""
    before = _CLAIM.set(claimed)
    try:
        yield
    finally:
        _CLAIM.reset(before)


def planned_id() -> str | None:
    """Return the id planned for what the present call makes, None when it came without a key."""
    claimed = _CLAIM.get()
    return claimed.planned_id if claimed else None


def is_taken_over() -> bool:
    """Tell whether the present call was begun before by a process that died; its effect may be there already."""
    claimed = _CLAIM.get()
    return claimed is not None and claimed.is_taken_over


def done(session: Session, answer: Answer) -> Answer:
    """Note, in the transaction of the effect, that it happens and what is answered; return the answer.

    Raises `StillRunning`, and so undoes the effect, when another call has taken the claim over.
    """
    claimed = _CLAIM.get()
    if claimed is not None:
        body = json_encoding.encode(answer)
        if not _mark(session, claimed, Kept(claimed.status, body)):
            raise StillRunning
        claimed.is_done = True
    return answer


def keep(claimed: Claim, answer: Kept) -> None:
    """Keep the answer of a call that had no effect in the database, or was refused."""
    write(lambda session: _mark(session, claimed, answer))


def give_up(claimed: Claim) -> None:
    """Let the call be tried again as if it had never come; nothing happens to one that is done."""

    def work(session: Session) -> None:
        session.execute(delete(table).where(*_mine(claimed)))

    write(work)


def _read(scope: str) -> Any:
    with reading() as session:
        statement = select(table).where(table.c.scope == scope, table.c.expires_at > _now())
        return session.execute(statement).one_or_none()


def _begin(scope: str, fingerprint: str, status: int) -> Claim | None:
    """Insert the row of a new call; None when another call was first."""
    claimed, now = Claim(scope, uuid4().hex, status), _now()

    def work(session: Session) -> None:
        session.execute(delete(table).where(table.c.expires_at <= now))
        values = {"scope": scope, "fingerprint": fingerprint, "attempt": claimed.attempt, "state": _RUNNING}
        until = {"locked_until": now + LEASE, "expires_at": now + KEPT}
        session.execute(insert(table).values(**values, **until))

    try:
        write(work)
    except errors.AlreadyExists:
        return None
    return claimed


def _take_over(row: Any, status: int) -> Claim:
    """Claim a call of which nobody has heard for `LEASE`; raises `StillRunning`."""
    now = _now()
    if row.locked_until > now:
        raise StillRunning
    former, claimed = (
        Claim(row.scope, row.attempt, status),
        Claim(row.scope, uuid4().hex, status, is_taken_over=True),
    )

    def work(session: Session) -> int:
        values = {"attempt": claimed.attempt, "locked_until": now + LEASE}
        result: Any = session.execute(update(table).where(*_mine(former)).values(**values))
        return int(result.rowcount)

    if write(work) != 1:
        raise StillRunning
    return claimed


def _mark(session: Session, claimed: Claim, answer: Kept) -> bool:
    body = get_fernet().encrypt(answer.body)
    values = {"state": _DONE, "status": answer.status, "body": body, "headers": dict(answer.headers)}
    result: Any = session.execute(update(table).where(*_mine(claimed)).values(**values))
    return bool(result.rowcount == 1)


def _opened(body: bytes) -> bytes:
    # What was kept before Airflow had a key is no Fernet token, all of which begin alike.
    if not body.startswith(b"gAAAA"):
        return body
    try:
        return get_fernet().decrypt(body)
    except InvalidToken:
        raise AnswerUnreadable from None


def _mine(claimed: Claim) -> tuple[Any, ...]:
    return table.c.scope == claimed.scope, table.c.attempt == claimed.attempt, table.c.state == _RUNNING


def _now() -> datetime:
    return datetime.now(timezone.utc)
