"""JSON encoding: the one encoder for responses, stored responses and problems.

orjson writes almost everything. Stored JSON may hold values that it rejects: integers beyond 64 bits, lone
surrogates, and containers nested deeper than 254 levels. `encode` writes these itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import orjson

# Date-times in UTC end in `Z`.
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
# Deeper than any database stores: a value that contains itself would be written forever.
_MAX_DEPTH = 100_000

Default = Callable[[Any], Any]


def encode(value: Any, default: Default | None = None) -> bytes:
    """Return a value as JSON in UTF-8.

    Integers keep their digits, NaN and infinity become null, lone surrogates are escaped. Raises TypeError for a
    value that JSON cannot express, unless ``default`` returns one that it can.
    """
    try:
        return orjson.dumps(value, default=default, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # Only lone surrogates cannot be encoded in UTF-8, and `\udXXX` is their escape in JSON as well.
        return "".join(_written(value, default)).encode("utf-8", "backslashreplace")


def encode_fields(value: Any) -> bytes:
    """Return an object as JSON, with null for every field that cannot be encoded; anything else as `{}`."""
    fields = value if isinstance(value, dict) else {}
    return encode({str(name): _or_null(field) for name, field in fields.items()})


def _or_null(value: Any) -> Any:
    try:
        return orjson.Fragment(encode(value))
    except (TypeError, ValueError):
        return None


def _written(value: Any, default: Default | None) -> Iterator[str]:
    """Yield the parts of a JSON text. A stack instead of recursion: Python limits the depth of the latter."""
    stack = [_pieces(value, default)]
    while stack:
        piece = next(stack[-1], None)
        if piece is None:
            stack.pop()
        elif isinstance(piece, str):
            yield piece
        elif len(stack) < _MAX_DEPTH:
            stack.append(_pieces(piece[0], default))
        else:
            raise TypeError("nested too deeply for JSON")


def _pieces(node: Any, default: Default | None) -> Iterator[str | tuple[Any]]:
    """Yield the texts that a value consists of, and each value within it as a tuple of one."""
    if isinstance(node, dict):
        yield "{"
        for index, (name, child) in enumerate(node.items()):
            yield f"{',' if index else ''}{_text(str(name))}:"
            yield (child,)
        yield "}"
    elif isinstance(node, (list, tuple)):
        yield "["
        for index, child in enumerate(node):
            yield "," if index else ""
            yield (child,)
        yield "]"
    elif isinstance(node, str):
        yield _text(node)
    elif isinstance(node, int) and not isinstance(node, (bool, Enum)):
        yield str(int(node))
    else:
        yield orjson.dumps(node, default=default, option=_OPTIONS).decode()


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
