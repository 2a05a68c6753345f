"""Usage: who still makes old calls, so that an administrator knows whom to ask before they are switched off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, timezone
from time import perf_counter

from airflow_rest_api.legacy.calls import Call
from airflow_rest_api.security.audit import Audit
from airflow_rest_api.security.audit import Call as Entry
from airflow_rest_api.web.exchange import Exchange

EVENT = "legacy_call"
_REMEMBERED = 10_000


class Usage:
    """Counts old calls, and leaves one mark a day in the event log for each caller and name."""

    def __init__(self, count: Callable[[str, str], None], audit: Audit) -> None:
        """Take what counts a call by its name and dialect."""
        self._count = count
        self._audit = audit
        self._lock = threading.Lock()
        self._day: date | None = None
        self._marked: set[tuple[str, str]] = set()

    def note(self, current: Exchange, call: Call) -> bool:
        """Count a call; tell whether it is the first of its name by this caller today."""
        self._count(call.name if call.old else "none", call.dialect)
        caller, today = current.caller, datetime.now(timezone.utc).date()
        if caller is None or call.old is None:
            return False
        with self._lock:
            if self._day != today or len(self._marked) >= _REMEMBERED:
                self._day, self._marked = today, set()
            is_first = (caller.id, call.name) not in self._marked
            self._marked.add((caller.id, call.name))
            return is_first

    def mark(self, current: Exchange, call: Call, status: int) -> None:
        """Write into the event log who has made an old call, which, and what it was answered. Blocks."""
        caller = current.caller
        entry = Entry(
            event=EVENT,
            request_id=current.request_id,
            client=current.client,
            owner=caller.name if caller else None,
            credential=caller.credential if caller else None,
        )
        facts = {"api": call.name, "dialect": call.dialect, "successor": call.old and call.old.successor}
        self._audit.outcome(entry, status, perf_counter() - current.begin, **facts)
