"""Sources: logs that are followed piece by piece until whoever writes them has ended.

A source neither sleeps nor waits: whoever follows it asks `look` now and then which sources have something, and takes
one piece after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """Whole lines; ``more`` are there at once, or this ``is_last``."""

    content: bytes
    more: bool
    is_last: bool = False


class Source(ABC):
    """What can be followed; it is asked from one thread at a time."""

    @abstractmethod
    def take(self) -> Piece:
        """Return the next piece, empty where nothing is there now; the one that ``is_last`` ends the log."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""

    @classmethod
    @abstractmethod
    def look(cls, sources: list[Any]) -> list[Any]:
        """Return those of several sources of this kind that may have something by now; one question for all."""


def look(sources: Iterable[Source]) -> list[Source]:
    """Return those sources, of whatever kinds, that may have something by now."""
    kinds: dict[type[Source], list[Source]] = {}
    for source in sources:
        kinds.setdefault(type(source), []).append(source)
    return [source for kind, members in kinds.items() for source in kind.look(members)]
