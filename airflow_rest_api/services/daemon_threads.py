"""Daemon threads: a few threads for work that may take long, for which the end of the process does not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Task = tuple[Callable[..., Any], tuple[Any, ...]]


class DaemonThreads:
    """At most ``most`` threads, begun when they are needed; whatever they carry out must not raise."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._waiting: SimpleQueue[_Task] = SimpleQueue()
        self._lock = threading.Lock()
        self._begun = 0

    def submit(self, work: Callable[..., Any], *given: Any) -> None:
        """Carry this out as soon as a thread is free."""
        self._waiting.put((work, given))
        with self._lock:
            if self._begun < self._most:
                self._begun += 1
                threading.Thread(target=self._work, name=f"{self._name}_{self._begun}", daemon=True).start()

    def _work(self) -> None:
        while True:
            work, given = self._waiting.get()
            work(*given)
