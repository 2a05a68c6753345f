"""Whether two JSON answers say the same."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet


def differences(
    theirs: object, ours: object, volatile: AbstractSet[str] = frozenset(), at: str = ""
) -> Iterator[str]:
    """Where `ours` lacks a field of `theirs`, adds one, or has another value; in words, the place first.

    Of the fields named in `volatile` only the presence and the type count.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in [*theirs, *(name for name in ours if name not in theirs)]:
            yield from _of_field(theirs, ours, name, volatile, f"{at}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{at or '.'}: {len(theirs)} items there, {len(ours)} here"
        for position, (left, right) in enumerate(zip(theirs, ours, strict=False)):
            yield from differences(left, right, volatile, f"{at}[{position}]")
    elif theirs != ours or type(theirs) is not type(ours):
        yield f"{at or '.'}: {theirs!r} there, {ours!r} here"


def _of_field(
    theirs: dict[str, object], ours: dict[str, object], name: str, volatile: AbstractSet[str], at: str
) -> Iterator[str]:
    if name not in ours:
        yield f"{at}: missing here"
    elif name not in theirs:
        yield f"{at}: only here"
    elif name not in volatile or type(theirs[name]) is not type(ours[name]):
        yield from differences(theirs[name], ours[name], volatile, at)
