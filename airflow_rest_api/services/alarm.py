"""Alarm: calls at a later time, for which no thread waits but the alarm's own."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

Call = Callable[[], object]


class Alarm:
    """Makes calls when they are due, one after another in a thread of its own: they have to be short.

    The thread begins with the first call that is asked for. It is a daemon: what is not due when the process ends is
    never called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, Call]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, call: Call) -> None:
        """Make this call in so many seconds."""
        with self._changed:
            heapq.heappush(self._calls, (time.monotonic() + seconds, next(self._numbers), call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._ring, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _ring(self) -> None:
        while True:
            self._next()()

    def _next(self) -> Call:
        with self._changed:
            while True:
                left = self._calls[0][0] - time.monotonic() if self._calls else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._calls)[2]
                self._changed.wait(left)
