"""States: what of an object a caller may change, so that a change can be bound to the state it was meant for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Stated:
    """An answer about one object, with the stored columns that callers can change (secrets as they are stored)."""

    answer: Any
    columns: tuple[Any, ...]


@dataclass(frozen=True)
class Noted:
    """An answer, and notes about it that are not a part of it: the web layer sends them as headers."""

    answer: Any
    notes: Mapping[str, str]


class Precondition(Protocol):
    """What a caller expects of an object before a change: that it exists, its state, or that it does not exist."""

    @property
    def present(self) -> bool:
        """Whether the object has to exist."""

    @property
    def absent(self) -> bool:
        """Whether the object must not exist."""

    def __bool__(self) -> bool:
        """Return whether an existing object can violate the precondition."""

    def require(self, columns: tuple[Any, ...]) -> None:
        """Check an existing object while its row is locked; raises `StateChanged` or `ObjectExists`."""


class _Unconditional:
    """Expects nothing."""

    present = absent = False

    def __bool__(self) -> bool:
        return False

    def require(self, columns: tuple[Any, ...]) -> None:
        """Let every state be right."""


# What callers expect who cannot say so.
UNCONDITIONAL: Precondition = _Unconditional()
