"""What a record holds: requests with their outcomes, in lines of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One request, byte for byte. The header `x-role` stands for the credential of that role.

    ``arranged`` are arguments of a call of the old manuals: its DAG and its run are made before it.
    """

    label: str
    method: str
    target: str
    headers: Headers
    body: bytes = b""
    arranged: dict[str, str] | None = None


@dataclass(frozen=True)
class Outcome:
    """A response and the audit rows that were written with it, without moments and ids."""

    status: int
    headers: Headers
    body: str
    audit: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A request with its outcome."""

    request: Request
    outcome: Outcome


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Write a record, one entry per line."""
    with path.open("w") as file:
        for entry in entries:
            file.write(json.dumps(_plain(entry), sort_keys=True) + "\n")


def read(path: Path) -> Iterator[Entry]:
    """Read a record."""
    with path.open() as file:
        for line in file:
            entry = json.loads(line)
            request, outcome = entry["request"], entry["outcome"]
            request["body"] = base64.b64decode(request["body"])
            for part in (request, outcome):
                part["headers"] = [(name, value) for name, value in part["headers"]]
            yield Entry(Request(**request), Outcome(**outcome))


def _plain(entry: Entry) -> dict[str, Any]:
    plain = asdict(entry)
    plain["request"]["body"] = base64.b64encode(entry.request.body).decode()
    return plain
