"""Paths: which operation an address and a method name, and which methods an address serves.

Connexion tries one route after the other, a route for each method, with a regular expression each: for the last
paths of the contract that costs as much as everything else of a small request, and its 405 names the methods of
the first route alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.exceptions import HTTPException

from airflow_rest_api.web import contract
from airflow_rest_api.web.contract import Document, Operation

_NUMBER = re.compile(r"-?[0-9]+")


class Found(NamedTuple):
    """An operation, the base path of its contract, and the values in the path by name."""

    base: str
    operation_id: str
    arguments: dict[str, str]


@dataclass(frozen=True)
class _Address:
    """A path of a contract: a literal or None for each segment, and its operations by method."""

    base: str
    literals: tuple[str | None, ...]
    variables: tuple[tuple[str, int], ...]
    # Which of the segments may hold slashes (`format: path`), if any.
    open_ended: int | None
    # The segments that are whole numbers.
    numbers: tuple[int, ...] = ()
    operations: dict[str, str] = field(default_factory=dict)

    def read(self, segments: list[str]) -> dict[str, str] | None:
        """Return the values of the path if it fits."""
        more = len(segments) - len(self.literals)
        if self.open_ended is not None and more > 0:
            first, after = self.open_ended, self.open_ended + more + 1
            segments = [*segments[:first], "/".join(segments[first:after]), *segments[after:]]
        if len(segments) != len(self.literals):
            return None
        for literal, segment in zip(self.literals, segments, strict=True):
            if segment != literal and (literal is not None or not segment):
                return None
        return {name: segments[position] for name, position in self.variables}

    def has_numbers(self, segments: list[str]) -> bool:
        """Tell whether the segments that have to be whole numbers look like some."""
        return all(_NUMBER.fullmatch(segments[position]) for position in self.numbers)


class PathTable:
    """The paths of all contracts, below a door's prefix."""

    def __init__(self, contracts: Iterable[tuple[str, Document, Iterable[Operation]]]) -> None:
        """Take base path, document and operations of each contract."""
        known: dict[str, _Address] = {}
        for base, document, operations in contracts:
            for operation in operations:
                path = f"{base}{operation.path}"
                if path not in known:
                    known[path] = _address(base, path, document, operation)
                known[path].operations[operation.method] = operation.operation_id
        # Literal segments before variable ones: `/dagRuns/list` is no run.
        ordered = [known[path] for path in sorted(known, key=lambda path: path.replace("{", "\uffff"))]
        self._by_length: dict[int, list[_Address]] = {}
        for address in ordered:
            if address.open_ended is None:
                self._by_length.setdefault(len(address.literals), []).append(address)
        self._open_ended = [address for address in ordered if address.open_ended is not None]

    def find(self, method: str, place: str, *, encoded_slash: bool = False) -> Found:
        """Find the operation of a method and a path below a door's prefix.

        Where several paths fit, the first that has the method counts, and the first of all says which methods are
        served (OpenAPI 3.0.3, paths object: a path without values is matched before one with values), together with
        those where a value with slashes stands before a literal: both are served at such an address. With an
        ``encoded_slash`` only a path fits of which a value may hold one: in ids a slash is no more allowed than
        it separates. Raises HTTPException: 404, or 405 with the methods of the address (RFC 9110 section 15.5.6).
        """
        segments = place.split("/")[1:]
        served: set[str] = set()
        plain = () if encoded_slash else self._by_length.get(len(segments), ())
        for address in (*plain, *self._open_ended):
            arguments = address.read(segments)
            # Where `/skip` is one address and `/{map_index}` another, "skip" is no index that is malformed.
            if arguments is None or (served and not address.has_numbers(segments)):
                continue
            if method in address.operations:
                return Found(address.base, address.operations[method], arguments)
            if not served or address.open_ended is not None:
                served |= set(address.operations)
        if not served:
            raise HTTPException(404)
        raise HTTPException(405, headers=allow(served))


def allow(methods: Iterable[str]) -> Mapping[str, str]:
    """Return the header that names the methods of an address; whoever answers GET answers HEAD."""
    served = set(methods)
    return {"Allow": ", ".join(sorted(served | ({"HEAD"} if "GET" in served else set())))}


def _address(base: str, path: str, document: Document, operation: Operation) -> _Address:
    segments = path.split("/")[1:]
    names = [re.fullmatch(r"\{(.*)\}", segment) for segment in segments]
    variables = tuple((name.group(1), position) for position, name in enumerate(names) if name)
    schemas = {
        entry["name"]: entry["schema"]
        for entry in contract.parameters(document, operation)
        if entry["in"] == "path"
    }
    return _Address(
        base=base,
        literals=tuple(None if name else segment for segment, name in zip(segments, names, strict=True)),
        variables=variables,
        open_ended=next((at for name, at in variables if schemas[name].get("format") == "path"), None),
        numbers=tuple(position for name, position in variables if schemas[name].get("type") == "integer"),
    )
