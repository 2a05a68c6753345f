"""Preconditions: `ETag`, `If-None-Match` and `If-Match` (RFC 9110 section 13).

An entity tag has two parts, `"<state>-<bytes>"`: a keyed hash of what callers can change of the object, and a hash
of the answer. A reader compares the whole, since it wants the bytes; a writer compares the state alone, which a
heartbeat or a counter beside it does not change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_rest_api.services import errors

READER, WRITER = "if_none_match", "if_match"
ANY = "*"
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


@dataclass(frozen=True)
class Expected:
    """What a request's `If-Match` says: any of these states, or with ``anything`` that the object exists."""

    keyed_hash: Hash = field(repr=False)
    states: frozenset[str] | None
    anything: bool = False

    def __bool__(self) -> bool:
        return self.states is not None and not self.anything

    def require(self, columns: tuple[Any, ...]) -> None:
        """Raise `StateChanged` unless the object with these columns is in one of the states."""
        if self and state_of(self.keyed_hash, columns) not in (self.states or ()):
            raise StateChanged


def expected(keyed_hash: Hash, header: str | None) -> Expected:
    """Read an `If-Match`; of the tags the part before the dash counts."""
    if header is None:
        return Expected(keyed_hash, None)
    states = frozenset(tag.partition("-")[0] for tag in _tags(header)) - {_STATELESS}
    return Expected(keyed_hash, states, anything=header.strip() == ANY)


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


def _tags(header: str) -> Iterable[str]:
    return _TAG.findall(header)
