"""The order of a list, and cursors that go on from a place in it, byte for byte as Airflow's `/api/v2` makes them."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import TypeDecorator, and_, false, or_, true
from sqlalchemy.sql import ColumnElement, Select
from sqlalchemy.sql.sqltypes import Uuid

from airflow_rest_api.services import errors

MAX_SORT_KEYS = 10
_BACKWARD = "~"
_LARGEST = 2**63 - 1


class OrderNotAllowed(errors.Malformed):
    """The list cannot be ordered like this."""

    title = "The list cannot be ordered like this"


class InvalidCursor(errors.Malformed):
    """The cursor was not made by this list, or not for this order."""

    title = "The cursor is not valid"

    def __init__(self) -> None:
        super().__init__("The cursor does not belong to this list in this order; start with an empty cursor.")


@dataclass(frozen=True)
class SortKey:
    """One sort criterion: the name under which a row holds its value, the column, the direction."""

    name: str
    column: Any
    descending: bool

    def clause(self, *, backward: bool = False) -> ColumnElement[Any]:
        """Return the ORDER BY term, turned round with ``backward``."""
        term: ColumnElement[Any] = self.column.desc() if self.descending != backward else self.column.asc()
        return term


@dataclass(frozen=True)
class Sorting:
    """What a list may be ordered by: ``columns`` by public name, a sequence of keys for a compound one.

    ``primary_key`` (name, column) ends every order, so that it is total; it follows the direction of the first key.
    """

    columns: Mapping[str, Any]
    primary_key: tuple[str, Any]

    def keys(self, order_by: Sequence[str] | None) -> list[SortKey]:
        """Resolve names such as ``-start_date``; raises `OrderNotAllowed` for unknown ones and for more than ten."""
        wishes = list(order_by) if order_by else [self.primary_key[0]]
        if len(wishes) > MAX_SORT_KEYS:
            raise OrderNotAllowed(f"Ordering by more than {MAX_SORT_KEYS} attributes is not allowed.")
        keys = [key for wish in wishes for key in self._resolve(wish)]
        name, column = self.primary_key
        if all(key.column.key != column.key for key in keys):
            keys.append(SortKey(name, column, wishes[0].startswith("-")))
        return keys

    def _resolve(self, wish: str) -> list[SortKey]:
        name, descending = wish.lstrip("-"), wish.startswith("-")
        if name not in self.columns and name != self.primary_key[0]:
            allowed = ", ".join(sorted(self.columns))
            raise OrderNotAllowed(f"Ordering by '{name}' is not allowed; allowed are: {allowed}.")
        column = self.columns.get(name, self.primary_key[1])
        if isinstance(column, tuple):
            return [SortKey(part.key, part, descending) for part in column]
        return [SortKey(name, column, descending)]


def ordered(statement: Select[Any], keys: Sequence[SortKey], *, backward: bool = False) -> Select[Any]:
    """Order the statement by the keys, turned round with ``backward``."""
    return statement.order_by(None).order_by(*(key.clause(backward=backward) for key in keys))


def encode_cursor(values: Sequence[Any], *, backward: bool = False) -> str:
    """Make the cursor that stands at the row with these sort values."""
    token = base64.urlsafe_b64encode(msgspec.msgpack.encode(list(values))).decode().rstrip("=")
    return f"{_BACKWARD}{token}" if backward else token


@dataclass(frozen=True)
class Cursor:
    """A place in an ordered list, and the direction to read in from there."""

    values: tuple[Any, ...]
    backward: bool

    def condition(self, keys: Sequence[SortKey], dialect: str) -> ColumnElement[bool]:
        """Select the rows strictly beyond the cursor, with nulls where the database ``dialect`` sorts them."""
        bounds = [
            _bounds(key.column, _coerced(key.column, value), key.descending != self.backward, dialect)
            for key, value in zip(keys, self.values, strict=True)
        ]
        beyond = bounds[-1][1]
        for inclusive, strict in reversed(bounds[:-1]):
            beyond = and_(inclusive, or_(strict, beyond))
        return beyond


def decode_cursor(text: str, keys: Sequence[SortKey]) -> Cursor:
    """Read a cursor; raises `InvalidCursor` when it is none, or was made for another order."""
    backward = text.startswith(_BACKWARD)
    token = text.removeprefix(_BACKWARD)
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        values = msgspec.msgpack.decode(raw)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as fault:
        raise InvalidCursor from fault
    if not isinstance(values, list) or len(values) != len(keys):
        raise InvalidCursor
    return Cursor(tuple(values), backward)


def _bounds(
    column: Any, value: Any, descending: bool, dialect: str
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    # PostgreSQL sorts nulls as the largest value, SQLite and MySQL as the smallest.
    nulls_last = descending != (dialect == "postgresql")
    if value is None:
        return (column.is_(None), false()) if nulls_last else (true(), column.is_not(None))
    inclusive = column <= value if descending else column >= value
    strict = column < value if descending else column > value
    if nulls_last:
        return or_(inclusive, column.is_(None)), or_(strict, column.is_(None))
    return inclusive, strict


def _coerced(column: Any, value: Any) -> Any:
    """Return the value as the column's type wants it; raises `InvalidCursor` for one that cannot be its own."""
    if value is None:
        return value
    if isinstance(value, str) and isinstance(column.type, Uuid):
        try:
            return uuid.UUID(value)
        except ValueError as fault:
            raise InvalidCursor from fault
    if not _is_of_type(value, column.type):
        raise InvalidCursor
    return value


def _is_of_type(value: Any, kind: Any) -> bool:
    try:
        expected = (kind.impl_instance if isinstance(kind, TypeDecorator) else kind).python_type
    except NotImplementedError:
        # The type of a computed column (a duration) is not known on every database.
        expected = float
    if issubclass(expected, (int, float, Decimal)):
        return _is_number(value, whole=issubclass(expected, int))
    # PostgreSQL's texts hold no NUL.
    return isinstance(value, expected) and not (isinstance(value, str) and "\0" in value)


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool):
        return False
    # A larger number is none of the database's.
    return (
        -_LARGEST <= value <= _LARGEST if isinstance(value, int) else isinstance(value, float) and not whole
    )
