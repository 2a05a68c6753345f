"""Preconditions: `ETag`, `If-None-Match` and `If-Match` (RFC 9110 section 13).

An entity tag has two parts, `"<state>-<bytes>"`: a keyed hash of what callers can change of the object, and a hash
of the answer. A reader compares the whole, since it wants the bytes; a writer compares the state alone, which a
heartbeat or a counter beside it does not change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_rest_api.services import errors

READER, WRITER = "if_none_match", "if_match"
ANY = "*"
_IF_MATCH, _IF_NONE_MATCH = "If-Match", "If-None-Match"
# A GET answers `If-None-Match` with 304, and a POST that evaluates it lists it.
_CHANGING = ("PUT", "PATCH", "DELETE")
# An answer about no single object has no state, and nobody changes it.
_STATELESS = "0"
_TAG = re.compile(r'(?:W/)?"([!#-~]*)"')
Hash = Callable[[str], str]


class StateChanged(errors.PreconditionFailed):
    """The object is in another state than the one that the caller has seen."""

    title = "The state has changed"

    def __init__(self) -> None:
        super().__init__(
            "The object is not in the state that If-Match names; read it again, and decide anew."
        )


class ObjectExists(errors.PreconditionFailed):
    """The object exists, and the caller wanted to create it."""

    title = "The object exists"

    def __init__(self) -> None:
        super().__init__(
            "The object exists, and `If-None-Match: *` requires that it does not. Omit the header to change the object."
        )


@dataclass(frozen=True)
class Expected:
    """The precondition of a change: the object is in one of ``states``, is ``present``, or is ``absent``."""

    keyed_hash: Hash = field(repr=False)
    states: frozenset[str] | None
    present: bool
    absent: bool

    def __bool__(self) -> bool:
        return self.states is not None or self.absent

    def require(self, columns: tuple[Any, ...]) -> None:
        """Raise `ObjectExists` if there must be no object, `StateChanged` if it is in none of the states."""
        if self.absent:
            raise ObjectExists
        if self.states is not None and state_of(self.keyed_hash, columns) not in self.states:
            raise StateChanged


def expected(keyed_hash: Hash, if_match: str | None, if_none_match: str | None) -> Expected:
    """Read the headers of a change; only the part of a tag before the dash counts.

    ``if_none_match`` is `*` or None: a change accepts no other value.
    """
    is_any = if_match is not None and if_match.strip() == ANY
    states = None if if_match is None or is_any else _states(if_match)
    return Expected(keyed_hash, states, present=if_match is not None, absent=if_none_match == ANY)


def implied(method: str, names: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the definition of `If-None-Match` for a change whose contract does not list the header.

    ``names`` are the parameters of the contract. With `If-Match` the value `*` is evaluated, otherwise no value is.
    """
    if method not in _CHANGING or _IF_NONE_MATCH in names:
        return []
    allowed: dict[str, Any] = {"enum": [ANY]} if _IF_MATCH in names else {"not": {}}
    return [{"name": _IF_NONE_MATCH, "in": "header", "schema": {"type": "string", **allowed}}]


def entity_tag(keyed_hash: Hash, columns: tuple[Any, ...] | None, body: bytes) -> str:
    """Return the tag of an answer, quotes included."""
    state = _STATELESS if columns is None else state_of(keyed_hash, columns)
    return f'"{state}-{hashlib.sha256(body).hexdigest()[:32]}"'


def state_of(keyed_hash: Hash, columns: tuple[Any, ...]) -> str:
    """Return the state that the columns are."""
    return keyed_hash(repr(columns))[:32]


def is_known(header: str | None, tag: str) -> bool:
    """Tell whether an `If-None-Match` names the answer with this tag, strong or weak, or any."""
    return header is not None and (header.strip() == ANY or tag.strip('"') in _tags(header))


def _states(header: str) -> frozenset[str]:
    return frozenset(tag.partition("-")[0] for tag in _tags(header)) - {_STATELESS}


def _tags(header: str) -> Iterable[str]:
    return _TAG.findall(header)
