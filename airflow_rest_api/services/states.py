"""States: what of an object a caller may change, so that a change can be bound to the state it was meant for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Stated:
    """An answer about one object, with the stored columns that callers can change (secrets as they are stored)."""

    answer: Any
    columns: tuple[Any, ...]


class Precondition(Protocol):
    """The state in which a caller expects an object, if they said so.

    ``anything`` is that it exists, whatever its state.
    """

    @property
    def anything(self) -> bool:
        """Tell whether the object is expected to exist."""

    def __bool__(self) -> bool:
        """Tell whether anything is expected."""

    def require(self, columns: tuple[Any, ...]) -> None:
        """Raise `StateChanged` unless the object is in that state; to be called while its row is locked."""


class _Unconditional:
    """Expects nothing."""

    anything = False

    def __bool__(self) -> bool:
        return False

    def require(self, columns: tuple[Any, ...]) -> None:
        """Let every state be right."""


# What callers expect who cannot say so.
UNCONDITIONAL: Precondition = _Unconditional()
