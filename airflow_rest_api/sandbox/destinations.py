"""Destinations: the hosts that a connection names, in its host and in the texts of its extra."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

# Each is asked for at a name server; whatever a hook dials beyond them, the guard sees.
MOST = 20
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_NAMING = re.compile(r"host|server|endpoint|addr|proxy|url|uri|broker|bootstrap|dsn", re.IGNORECASE)


def named(connection: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the hosts and ports that a connection names, 0 where it names none; each once, in its order."""
    found = dict.fromkeys(_of_host(connection.get("host"), connection.get("port") or 0))
    try:
        extra = json.loads(connection.get("extra") or "{}")
    except (ValueError, RecursionError):
        extra = {}
    found |= dict.fromkeys(_within(extra, is_naming=False))
    return list(found)[:MOST]


def _within(value: Any, *, is_naming: bool) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _within(inner, is_naming=bool(_NAMING.search(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _within(inner, is_naming=is_naming)
    elif isinstance(value, str):
        urls = _URL.findall(value)
        if urls or is_naming:
            yield from (pair for text in urls or [value] for pair in _of_host(text, 0))


def _of_host(host: str | None, port: int) -> Iterator[tuple[str, int]]:
    """Yield what a host is in all the ways in which hooks read it: an address, one of several, a name with a port."""
    text = (host or "").strip()
    if text.startswith("/"):
        return  # a file, or a socket of this machine
    rest = text.partition("://")[2] or text
    for part in re.split(r"[/?#\\]", rest, maxsplit=1)[0].split(","):
        pair = _split(part.rpartition("@")[2].strip(), port)
        if pair:
            yield pair


def _split(text: str, port: int) -> tuple[str, int] | None:
    if text.count(":") > 1 and not text.startswith("["):
        return text, port
    try:
        parts = urlsplit(f"//{text}")
        # A port of its own may be wrong, and is the hook's to complain of.
        return (parts.hostname, parts.port or port) if parts.hostname else None
    except ValueError:
        return text.partition(":")[0], port
