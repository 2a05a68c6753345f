"""JSON texts: what callers send as JSON, in a body or in a field of a form, read defensively."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from airflow_rest_api.services import errors

MAX_DEPTH = 64
# Editors and shells on Windows write it before UTF-8 (RFC 8259 section 8.1 lets a parser ignore it).
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_LEAST, _MOST = -(2**63), 2**64 - 1


class NumberTooLarge(errors.Malformed):
    """A whole number would be read as another one."""

    title = "A number is too large"

    def __init__(self, noun: str) -> None:
        super().__init__(
            f"A whole number in the {noun} needs more than 64 bits, and is exact only as a text."
        )


def parse(raw: bytes, noun: str = "body") -> Any:
    """Parse JSON: UTF-8, without NaN, not nested deeper than `MAX_DEPTH`; ``noun`` is what the text is called.

    A byte order mark is ignored. Raises `Malformed` and `NumberTooLarge`.
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        raise errors.Malformed(f"The {noun} is not valid JSON: {fault.msg} at line {fault.lineno}.") from None
    if _is_deeper(body, MAX_DEPTH):
        raise errors.Malformed(f"The {noun} is nested deeper than {MAX_DEPTH} levels.")
    if _LONG_NUMBER.search(raw):
        _require_exact(raw, noun)
    if b"\\u0000" in raw and _holds_nul(body):
        raise errors.Malformed(f"A text or a name in the {noun}: Must not contain the character NUL.")
    return body


def _require_exact(raw: bytes, noun: str) -> None:
    """Raise `NumberTooLarge` for a whole number that has no room in 64 bits: orjson makes a float of it."""

    def whole(digits: str) -> int:
        if len(digits) > 20 or not _LEAST <= int(digits) <= _MOST:
            raise NumberTooLarge(noun)
        return int(digits)

    json.loads(raw, parse_int=whole)


def _is_deeper(body: Any, most: int) -> bool:
    """Tell whether containers nest deeper than ``most``, level by level: recursion is what this guards."""
    level = [body]
    for _ in range(most + 1):
        containers = [
            node.values() if isinstance(node, dict) else node
            for node in level
            if isinstance(node, (dict, list))
        ]
        if not containers:
            return False
        level = [child for container in containers for child in container]
    return True


def _holds_nul(node: Any) -> bool:
    if isinstance(node, dict):
        return any("\0" in name or _holds_nul(value) for name, value in node.items())
    if isinstance(node, list):
        return any(_holds_nul(value) for value in node)
    return isinstance(node, str) and "\0" in node
