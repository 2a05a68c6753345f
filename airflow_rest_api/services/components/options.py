"""Options: how what a caller wishes becomes words of a command line, and nothing else does.

Each option takes values of one narrow shape, the one that the contract names. What is no such value never becomes a
word, whoever asks: no word begins with a dash that is not the option's own, no value is read by a shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

Words = tuple[str, ...]
Schema = Mapping[str, Any]

# The longest list of names that one option takes.
MOST_NAMES = 50


@dataclass(frozen=True)
class Option:
    """An option of a command: what it takes, as a schema of the contract, and the words that it becomes."""

    schema: Schema
    fits: Callable[[Any], bool]
    spell: Callable[[Any], Words]

    def words(self, value: Any) -> Words:
        """Return the words for a value; raises `ValueError` for one that does not fit."""
        if not self.fits(value):
            raise ValueError
        return self.spell(value)


def number(flag: str, least: int, most: int) -> Option:
    """Return an option that takes a whole number."""
    return Option(
        {"type": "integer", "minimum": least, "maximum": most},
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
        lambda value: (f"{flag}={value}",),
    )


def switch(flag: str) -> Option:
    """Return an option that is there or not."""
    return Option(
        {"type": "boolean"},
        lambda value: isinstance(value, bool),
        lambda value: (flag,) if value else (),
    )


def text(flag: str, pattern: str, most: int) -> Option:
    """Return an option that takes a text of at most so many characters which the whole pattern fits."""
    return Option(
        {"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern},
        _fitting(pattern, most),
        lambda value: (f"{flag}={value}",),
    )


def joined(flag: str, pattern: str, most: int) -> Option:
    """Return an option that takes several texts, none of which has a comma, with commas between them."""
    return Option(
        _several({"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern}),
        _all(_fitting(pattern, most)),
        lambda values: (f"{flag}={','.join(values)}",),
    )


def repeated(flag: str, pattern: str, most: int) -> Option:
    """Return an option that is there once for each of several texts."""
    return Option(
        _several({"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern}),
        _all(_fitting(pattern, most)),
        lambda values: tuple(f"{flag}={value}" for value in values),
    )


def choices(flag: str, words: Collection[str]) -> Option:
    """Return an option that takes some of these words, with commas between them."""
    return Option(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": len(words),
            "items": {"type": "string", "enum": [*words]},
        },
        _all(lambda value: isinstance(value, str) and value in words),
        lambda values: (f"{flag}={','.join(values)}",),
    )


def choice(flag: str, words: Collection[str]) -> Option:
    """Return an option that takes one of these words."""
    return Option(
        {"type": "string", "enum": [*words]},
        lambda value: isinstance(value, str) and value in words,
        lambda value: (f"{flag}={value}",),
    )


def _several(item: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": MOST_NAMES, "items": item}


def _fitting(pattern: str, most: int) -> Callable[[Any], bool]:
    # `$` of Python's also fits before a line's end, `fullmatch` fits nothing but the whole.
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: (
        isinstance(value, str)
        and len(value) <= most
        and compiled.fullmatch(value) is not None
        and not value.endswith("\n")
    )


def _all(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: (
        isinstance(values, list) and 0 < len(values) <= MOST_NAMES and all(fits(value) for value in values)
    )
