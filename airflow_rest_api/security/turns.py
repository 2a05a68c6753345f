"""Turns: of calls that would otherwise take each other for an attack, some go on and the others wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets at most ``at_once`` calls with the same key go on in this process at the same time."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Wait for a turn, and have it inside."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy[key] < self._at_once)
            self._busy[key] += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy[key] -= 1
                if not self._busy[key]:
                    del self._busy[key]
                self._changed.notify_all()
