"""Background work: who carries out operations, keeps their lease alive, and notices those that nobody carries on.

A kind of work is a function of its request and a `Report`; all of them are in `kinds.py`, under the operations that
begin them. Work is done in threads of its own, so that it holds no thread of a request; there are few, so work that
mostly waits is a generator, and yields the seconds for which it needs none.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakSet

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.alarm import Alarm
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.daemon_threads import DaemonThreads
from airflow_rest_api.services.database import write
from airflow_rest_api.services.operation import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    UNFINISHED,
)
from airflow_rest_api.services.report import Report, Stopped
from airflow_rest_api.storage.tables import operation as table

log = logging.getLogger(__name__)

Json = dict[str, Any]
Result = TypeVar("Result")
# Work in steps: between two it needs no thread for the seconds that it yields.
Rests = Generator[float, None, Result]
Work = Callable[[Json, Report], "Json | Rests[Json | None] | None"]
# How an operation ends: its state, its result, and why it failed.
Outcome = tuple[str, "Json | None", "str | None"]

# A worker that is not heard of for `LEASE` is taken for dead; it renews thrice in that time. Twice the two is the
# longest that dead work may look alive.
LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0
_STOP_SECONDS = 5.0
THREADS = 2


@dataclass(frozen=True)
class Kind:
    """How an operation is carried out; ``is_safe`` when carrying it out twice does no harm.

    One that ``resumes`` goes on after the items that were told before; otherwise who takes over begins anew. Work that
    may hold a thread for long has ``threads`` of its own, so that all others are not kept waiting.
    """

    work: Work
    is_safe: bool
    resumes: bool = False
    threads: int = 0


# Whoever renews leases at present in this process.
_KEEPING: WeakSet[Background] = WeakSet()


class Background:
    """Carries out the operations of this process, and looks after those of others."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        on_fault: Callable[[], None] = lambda: None,
        kept: timedelta = timedelta(days=7),
    ) -> None:
        """Take the kinds by the operationId that begins them, and what to do at a fault of this service.

        Operations are ``kept`` for so long after they were begun.
        """
        self._kinds = kinds
        self._kept = kept
        self._on_fault = on_fault
        self.worker = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid4().hex[:12]}"
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rest-api-background")
        self._apart = {
            name: DaemonThreads(kind.threads, f"rest-api-{name}")
            for name, kind in kinds.items()
            if kind.threads
        }
        self._alarm = Alarm("rest-api-alarm")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None

    def begin(
        self, session: Session, kind: str, request: Json, caller: Caller, total: int | None = None
    ) -> str:
        """Store an operation in the caller's transaction and return its id; `run` is called after the commit."""
        operation_id, now = str(uuid4()), _now()
        values = {
            "id": operation_id,
            "kind": kind,
            "state": QUEUED,
            "caller_id": caller.id,
            "caller_name": caller.name,
            "request": request,
            "is_safe": self._kinds[kind].is_safe,
            "is_cancelled": False,
            "worker": self.worker,
            "leased_until": now + LEASE,
            "created_at": now,
            "expires_at": now + self._kept,
            "done": 0,
            "total": total,
            "items": [],
            "log": "",
        }
        session.execute(insert(table).values(values))
        return operation_id

    def run(self, operation_id: str, kind: str = "") -> None:
        """Carry out a stored operation as soon as a thread is free: one of those of its kind, where that has some."""
        self.keep()
        self._submit(operation_id, self._carry_out(operation_id), kind)

    def keep(self) -> None:
        """Renew leases and look after abandoned work from now on; a repeated call changes nothing."""
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="rest-api-keeper", daemon=True)
                self._keeper.start()
                _KEEPING.add(self)

    def stop(self) -> None:
        """Renew no lease any more: what is not finished is taken over, or lost."""
        self._stopping.set()
        if self._keeper is not None and self._keeper is not threading.current_thread():
            self._keeper.join(_STOP_SECONDS)

    def pause(self) -> None:
        """Renew no lease until `run` or `keep` is called again; returns when the keeper is at rest."""
        with self._lock:
            keeper, self._keeper = self._keeper, None
            is_stopped = self._stopping.is_set()
            self._stopping.set()
        # Not with the lock, which a keeper takes that has just taken work over.
        if keeper is not None:
            keeper.join(_STOP_SECONDS)
        if not is_stopped:
            self._stopping.clear()

    def _keep(self) -> None:
        while not self._stopping.wait(RENEW_SECONDS):
            self._try_to_look_after()

    def _try_to_look_after(self) -> None:
        try:
            self.look_after()
        except Exception:
            log.exception("The leases of operations could not be renewed")
            self._on_fault()

    def look_after(self) -> None:
        """Renew the leases of this process; take over what is safe of others that are gone, and call the rest lost.

        What is safe and of an unknown kind is left to somebody who knows it, such as a newer release.
        """
        now = _now()
        mine = (table.c.worker == self.worker, table.c.state.in_(UNFINISHED))
        overdue = (table.c.state.in_(UNFINISHED), table.c.leased_until < now)

        def work(session: Session) -> list[Any]:
            session.execute(update(table).where(*mine).values(leased_until=now + LEASE))
            lost = update(table).where(*overdue, table.c.is_safe.is_(False))
            session.execute(lost.values(state=LOST, ended_at=now))
            session.execute(delete(table).where(table.c.expires_at < now, table.c.state.not_in(UNFINISHED)))
            known = table.c.kind.in_(self._kinds)
            safe = select(table.c.id, table.c.worker, table.c.kind).where(*overdue, table.c.is_safe, known)
            return list(session.execute(safe))

        for operation_id, former, kind in write(work):
            if self._take_over(operation_id, former, kind):
                self.run(operation_id, kind)

    def _take_over(self, operation_id: str, former: str, kind: str) -> bool:
        values: Json = {"worker": self.worker, "state": QUEUED, "leased_until": _now() + LEASE}
        if not self._kinds[kind].resumes:
            values |= {"done": 0, "items": []}

        def work(session: Session) -> bool:
            theirs = (table.c.id == operation_id, table.c.worker == former, table.c.leased_until < _now())
            result: Any = session.execute(update(table).where(*theirs).values(**values))
            return bool(result.rowcount == 1)

        return write(work)

    def _go_on(self, operation_id: str, steps: Rests[None], kind: str) -> None:
        """Work until there is nothing to do for a while, or until the end."""
        try:
            rest = next(steps)
            self._alarm.after(rest, lambda: self._submit(operation_id, steps, kind))
        except StopIteration:
            return
        except Exception:
            log.exception("The operation %s could not be carried out", operation_id)
            self._on_fault()

    def _submit(self, operation_id: str, steps: Rests[None], kind: str) -> None:
        # At the end of the process there are no threads any more: another one takes the work over.
        with suppress(RuntimeError):
            (self._apart.get(kind) or self._pool).submit(self._go_on, operation_id, steps, kind)

    def _carry_out(self, operation_id: str) -> Rests[None]:
        request = self._start(operation_id)
        if request is not None:
            outcome = yield from self._outcome(operation_id, *request)
            self._end(operation_id, *outcome)

    def _start(self, operation_id: str) -> tuple[str, Json, list[Json]] | None:
        """Move a queued operation to running; None when it was cancelled before, or is another's."""
        mine = (table.c.id == operation_id, table.c.worker == self.worker, table.c.state == QUEUED)

        def work(session: Session) -> tuple[str, Json, list[Json]] | None:
            begun = update(table).where(*mine, table.c.is_cancelled.is_(False))
            result: Any = session.execute(begun.values(state=RUNNING, started_at=_now()))
            if result.rowcount != 1:
                session.execute(update(table).where(*mine).values(state=CANCELLED, ended_at=_now()))
                return None
            kind, request, told = session.execute(
                select(table.c.kind, table.c.request, table.c["items"]).where(table.c.id == operation_id)
            ).one()
            return kind, request, told

        return write(work)

    def _outcome(self, operation_id: str, kind: str, request: Json, told: list[Json]) -> Rests[Outcome]:
        try:
            result = self._kinds[kind].work(request, Report(operation_id, self.worker, told))
            if isinstance(result, Generator):
                result = yield from result
        except Stopped:
            return CANCELLED, None, None
        except errors.Refusal as refusal:
            return FAILED, refusal.members or None, refusal.detail
        except Exception:
            log.exception("The operation %s (%s) failed", operation_id, kind)
            self._on_fault()
            return FAILED, None, "The service failed; its log knows more under the id of the operation."
        failed = bool(result and result.get("failed"))
        return (FAILED if failed else SUCCEEDED), result, None

    def _end(self, operation_id: str, state: str, result: Json | None, error: str | None) -> None:
        mine = (table.c.id == operation_id, table.c.worker == self.worker, table.c.state == RUNNING)
        values = {"state": state, "result": result, "error": error, "ended_at": _now()}
        write(lambda session: session.execute(update(table).where(*mine).values(**values)))


def pause_all() -> None:
    """Pause all keepers of this process: at its end, Airflow puts its connections away before threads end."""
    for keeping in list(_KEEPING):
        keeping.pause()
        _KEEPING.discard(keeping)


atexit.register(pause_all)


def _now() -> datetime:
    return datetime.now(timezone.utc)
