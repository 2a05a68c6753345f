"""Exact JSON: which texts are JSON that can be taken apart and put together again without a loss."""

from __future__ import annotations

import json
from typing import Any

# Deeper ones are not put into other files as what they are: their readers may give up.
_MOST_DEPTH = 50


class Inexact(ValueError):
    """A text is no JSON, or would be another one when it is written again."""


def value(text: str) -> Any:
    """Return what a text says; raises `Inexact` for one that says something else when it is written again.

    `3.10` would be 3.1, and of two entries with one name only one would be left. Spaces and escapes do not count
    within objects and lists.
    """
    try:
        found = json.loads(
            text, parse_float=_float, parse_int=_int, parse_constant=_constant, object_pairs_hook=_object
        )
    except (ValueError, RecursionError):
        raise Inexact from None
    if isinstance(found, dict | list):
        if _depth(found) > _MOST_DEPTH or _has_surrogate(text, found):
            raise Inexact
    elif json.dumps(found) != text:
        raise Inexact
    return found


def settled(new: str, old: str | None) -> str:
    """Return the old text where the new one says the same: an object or list but for its spaces and escapes."""
    return old if old is not None and _equal(new, old) else new


def _equal(one: str, other: str) -> bool:
    if one.lstrip()[:1] not in ("{", "[") or other.lstrip()[:1] != one.lstrip()[:1]:
        return False
    try:
        return json.dumps(value(one), sort_keys=True) == json.dumps(value(other), sort_keys=True)
    except Inexact:
        return False


def _float(text: str) -> float:
    if json.dumps(number := float(text)) != text:
        raise Inexact
    return number


def _int(text: str) -> int:
    if str(number := int(text)) != text:
        raise Inexact
    return number


def _constant(_: str) -> float:
    raise Inexact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise Inexact
    return found


def _has_surrogate(text: str, found: Any) -> bool:
    """Return whether there is a lone surrogate, which JSON can escape and UTF-8 and YAML cannot hold."""
    if "\\u" not in text:
        return False
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _depth(found: Any) -> int:
    level, depth = [found], 0
    while level and depth <= _MOST_DEPTH:
        depth += 1
        level = [
            entry
            for node in level
            for entry in (node.values() if isinstance(node, dict) else node)
            if isinstance(entry, dict | list)
        ]
    return depth
