"""Refusals of callers whom nobody knows: counted, so that who only knocks cannot fill the event log."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from airflow.models.log import Log
from sqlalchemy import update
from sqlalchemy.orm import Session

from airflow_rest_api.security.networks import network_of
from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services.database import write

log = logging.getLogger(__name__)

# How long a count may wait for others before it is written.
FLUSH_SECONDS = 1.0


class Kind(NamedTuple):
    """What one row counts: refusals of an operation with one status, from one network, within one minute."""

    operation_id: str
    status: int
    network: str
    minute: datetime


@dataclass
class _Row:
    """A row of the event log that counts: the first refusal is in it at once, later ones a moment after."""

    id: int
    count: int
    request_id: str
    written: int


class Refusals:
    """Counts the refusals of this process into one row per `Kind`."""

    def __init__(self, on_loss: Callable[[], None], redactor: Redactor) -> None:
        """Take what to do when a count cannot be written."""
        self._on_loss = on_loss
        self._redactor = redactor
        self._rows: dict[Kind, _Row] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def count(self, operation_id: str, status: int, client: str, request_id: str) -> None:
        """Count one refusal. Blocks on the database for the first one of its kind alone."""
        kind = Kind(operation_id, status, network_of(client), _minute())
        with self._lock:
            row = self._rows.get(kind)
            if row is not None:
                row.count += 1
                self._flush_soon()
                return
            # The lock is kept: whoever comes at the same time counts into this row.
            self._rows = {
                known: row
                for known, row in self._rows.items()
                if known.minute == kind.minute or row.count != row.written
            }
            self._try(lambda: self._insert(kind, request_id))

    def known(self, operation_id: str, status: int, client: str) -> bool:
        """Tell whether `count` would find its row, and so not ask the database."""
        return Kind(operation_id, status, network_of(client), _minute()) in self._rows

    def flush(self) -> None:
        """Write what was counted since."""
        with self._lock:
            self._timer = None
            changed = [(kind, row) for kind, row in self._rows.items() if row.count != row.written]
            if changed:
                self._try(lambda: self._update(changed))

    def _insert(self, kind: Kind, request_id: str) -> None:
        def work(session: Session) -> int:
            row = Log(event=kind.operation_id[:60], extra=self._redactor.text(_extra(kind, 1, request_id)))
            session.add(row)
            session.flush()
            return row.id

        self._rows[kind] = _Row(write(work), 1, request_id, 1)

    def _update(self, changed: list[tuple[Kind, _Row]]) -> None:
        def work(session: Session) -> None:
            for kind, row in changed:
                extra = self._redactor.text(_extra(kind, row.count, row.request_id))
                session.execute(update(Log).where(Log.id == row.id).values(extra=extra))

        write(work)
        for _, row in changed:
            row.written = row.count

    def _flush_soon(self) -> None:
        if self._timer is None:
            # Not a daemon: a process that ends waits for it, so that no count is lost.
            self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
            self._timer.start()

    def _try(self, writing: Callable[[], None]) -> None:
        try:
            writing()
        except Exception:
            log.exception("Refused calls could not be counted in the event log")
            self._on_loss()


def _minute() -> datetime:
    return datetime.now(timezone.utc).replace(second=0, microsecond=0)


def _extra(kind: Kind, count: int, request_id: str) -> str:
    told: dict[str, Any] = {
        "phase": "outcome",
        "status": kind.status,
        "count": count,
        "network": kind.network,
        "minute": kind.minute.isoformat(),
        "request_id": request_id,
    }
    return json.dumps(told)
