"""Pending answers: old calls answer when the work is done, and hold no thread until then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pending:
    """An answer that waits until an object is in a ``terminal`` state, at most so many ``seconds``.

    ``kind`` and ``key`` name the object as `services/watching.py` does. Afterwards ``then`` makes the answer, in a
    worker thread, or returns another `Pending`; it looks itself how far the work has come.
    """

    kind: str
    key: tuple[Any, ...]
    terminal: tuple[str, ...]
    seconds: float
    then: Callable[[], Any]
