"""Paths: which operation an address and a method name, and which methods an address serves.

Connexion tries one route after the other, a route for each method, with a regular expression each: for the last
paths of the contract that costs as much as everything else of a small request, and its 405 names the methods of
the first route alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from starlette.exceptions import HTTPException

from airflow_rest_api.web import contract
from airflow_rest_api.web.contract import Document, Operation

_NUMBER = re.compile(r"-?[0-9]+")
_WORD = re.compile(r"[A-Za-z]\w*")
# Ids that may hold a slash, besides the values of `format: path`.
_WITH_SLASHES = frozenset({"connection_id", "dag_run_id"})


class Found(NamedTuple):
    """An operation, the base path of its contract, and the values in the path by name."""

    base: str
    operation_id: str
    arguments: dict[str, str]


@dataclass
class _Address:
    """A path of a contract: a literal or None for each segment, and its operations by method."""

    base: str
    literals: tuple[str | None, ...]
    variables: tuple[tuple[str, int], ...]
    # The segment that may hold slashes (`format: path`), if any.
    open_ended: int | None
    # The segment of an id that may hold encoded slashes, if any.
    slashed: int | None = None
    # The segments that are whole numbers, and those of them where other paths have a literal.
    numbers: tuple[int, ...] = ()
    beside_literals: tuple[int, ...] = ()
    operations: dict[str, str] = field(default_factory=dict)

    @property
    def literal_count(self) -> int:
        """The number of segments that are literals."""
        return sum(literal is not None for literal in self.literals)

    def read(self, segments: list[str], *, wide: int | None) -> dict[str, str] | None:
        """Return the values of the path if it fits; the segment at ``wide`` takes those that are too many."""
        more = len(segments) - len(self.literals)
        if wide is not None and more > 0:
            after = wide + more + 1
            segments = [*segments[:wide], "/".join(segments[wide:after]), *segments[after:]]
        if len(segments) != len(self.literals):
            return None
        for literal, segment in zip(self.literals, segments, strict=True):
            if segment != literal and (literal is not None or not segment):
                return None
        if any(_WORD.fullmatch(segments[position]) for position in self.beside_literals):
            return None
        return {name: segments[position] for name, position in self.variables}

    def has_numbers(self, arguments: Mapping[str, str]) -> bool:
        """Return whether the values that have to be whole numbers look like some."""
        return all(
            _NUMBER.fullmatch(arguments[name])
            for name, position in self.variables
            if position in self.numbers
        )

    def has_literal_beside(self, other: _Address, position: int) -> bool:
        """Return whether this path can be read, and has a literal where ``other``, which begins alike, has a value.

        Next to `/backfills/dry_run`, which is only posted to, `/backfills/one` is a malformed id, as in `/api/v2`.
        """
        return (
            "GET" in self.operations
            and position < len(self.literals)
            and self.literals[position] is not None
            and self.literals[:position] == other.literals[:position]
        )


_Fit = tuple[_Address, dict[str, str]]


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
        # Literal segments before variable ones: `/dagRuns/list` is not a run.
        ordered = [known[path] for path in sorted(known, key=lambda path: path.replace("{", "\uffff"))]
        self._by_length: dict[int, list[_Address]] = {}
        for address in ordered:
            address.beside_literals = tuple(_beside_literals(address, ordered))
            if address.open_ended is None:
                self._by_length.setdefault(len(address.literals), []).append(address)
        longest_first = sorted(ordered, key=lambda address: -address.literal_count)
        self._open_ended = [address for address in longest_first if address.open_ended is not None]
        self._slashed = [address for address in longest_first if address.slashed is not None]

    def find(self, method: str, place: str, raw: bytes = b"") -> Found:
        """Find the operation of a method and a path below a door's prefix.

        Segments are those of ``raw``, the undecoded path that ends in ``place``: there `%2F` is a slash inside an id.
        Some mounts have no such path; then an id takes the slashes of ``place``, and the longest literal match decides.
        Where several paths fit, the first that has the method counts, and the first of all defines which methods are
        served (OpenAPI 3.0.3, paths object: a path without values is matched before one with values), together with
        those where a value with slashes stands before a literal: both are served at such an address. Raises
        HTTPException: 404, or 405 with the methods of the address (RFC 9110 section 15.5.6).
        """
        exact = _segments(place, raw)
        rejected: list[_Address] = []
        for address, arguments in self._fitting(exact or place.split("/")[1:], is_exact=exact is not None):
            if method in address.operations:
                return Found(address.base, address.operations[method], arguments)
            rejected.append(address)
        if not rejected:
            raise HTTPException(404)
        served = [rejected[0], *(address for address in rejected[1:] if address.open_ended is not None)]
        raise HTTPException(405, headers=allow(name for address in served for name in address.operations))

    def _fitting(self, segments: list[str], *, is_exact: bool) -> Iterator[_Fit]:
        is_first = True
        for address in (*self._by_length.get(len(segments), ()), *self._open_ended):
            arguments = address.read(segments, wide=address.open_ended)
            # Where `/skip` is one address and `/{map_index}` another, "skip" is not a malformed index.
            if arguments is not None and (is_first or address.has_numbers(arguments)):
                is_first = False
                yield address, arguments
        if is_first and not is_exact:
            yield from self._fitting_with_slashes(segments)

    def _fitting_with_slashes(self, segments: list[str]) -> Iterator[_Fit]:
        read = ((address, address.read(segments, wide=address.slashed)) for address in self._slashed)
        return islice(((address, arguments) for address, arguments in read if arguments is not None), 1)


def _segments(place: str, raw: bytes) -> list[str] | None:
    """Return the decoded segments of a path, None if ``raw`` does not end in the undecoded form of ``place``.

    Raises HTTPException (404) where ``place`` begins inside a segment: `%2F` does not separate segments.
    """
    decoded = [unquote(segment) for segment in raw.decode("latin-1").split("/")]
    if not place or not "/".join(decoded).endswith(place):
        return None
    count, length = 0, 0
    while length < len(place):
        count += 1
        length += len(decoded[-count]) + 1
    if length != len(place):
        raise HTTPException(404)
    return decoded[-count:]


def _beside_literals(address: _Address, others: Iterable[_Address]) -> Iterator[int]:
    """Yield the positions of numbers where another path has a literal, so that an unknown word is an unknown path."""
    known = list(others)
    for position in address.numbers:
        if any(other.has_literal_beside(address, position) for other in known):
            yield position


def allow(methods: Iterable[str]) -> Mapping[str, str]:
    """Return the header that names the methods of an address; where GET is served, HEAD is."""
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
        slashed=next((at for name, at in variables if name in _WITH_SLASHES), None),
        numbers=tuple(position for name, position in variables if schemas[name].get("type") == "integer"),
    )
