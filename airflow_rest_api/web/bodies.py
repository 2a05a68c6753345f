"""Bodies: what a JSON request carries, read defensively and checked against the contract."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from airflow_rest_api.services import errors
from airflow_rest_api.web.arguments import malformed
from airflow_rest_api.web.schemas import NO_NUL, Schema

MAX_DEPTH = 64
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_LEAST, _MOST = -(2**63), 2**64 - 1


class NumberTooLarge(errors.Malformed):
    """A whole number would be read as another one."""

    title = "A number is too large"

    def __init__(self) -> None:
        super().__init__("A whole number in the body needs more than 64 bits, and is exact only as a text.")


class BodyReader:
    """Reads the JSON body of one operation."""

    def __init__(self, definition: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        """Compile the request body ``definition`` of an operation."""
        self._required = definition.get("required", False)
        self._schema = Schema(definition["content"]["application/json"]["schema"], components)

    def read(self, raw: bytes) -> Any:
        """Return the parsed body, ``{}`` for an absent optional one; raises `Malformed`."""
        if not raw.strip():
            if self._required:
                raise errors.Malformed("The request needs a body.")
            return {}
        body = parse(raw)
        faults = [{"pointer": pointer, "detail": sentence} for pointer, sentence in self._schema.faults(body)]
        if faults:
            raise malformed(faults)
        return body


def parse(raw: bytes) -> Any:
    """Parse JSON: UTF-8, without NaN, not nested deeper than `MAX_DEPTH`; raises `Malformed`, `NumberTooLarge`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        raise errors.Malformed(f"The body is not valid JSON: {fault.msg} at line {fault.lineno}.") from None
    if _is_deeper(body, MAX_DEPTH):
        raise errors.Malformed(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if _LONG_NUMBER.search(raw):
        # orjson makes a float of a whole number that has no room in 64 bits.
        json.loads(raw, parse_int=_whole)
    if b"\\u0000" in raw and _holds_nul(body):
        raise errors.Malformed(f"A text or a name in the body: {NO_NUL}")
    return body


def _whole(digits: str) -> int:
    if len(digits) > 20 or not _LEAST <= int(digits) <= _MOST:
        raise NumberTooLarge
    return int(digits)


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
