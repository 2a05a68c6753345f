"""Stored JSON: columns that are read whatever document they hold.

SQLAlchemy and the drivers decode a column with `json.loads`. It raises an error for integers of more than 4,300
digits and for documents nested about as deep as Python's stack, and one such row would fail a whole list.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from sqlalchemy import Dialect, Text, cast, type_coerce
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import TypeDecorator

# A text, which may contain the words, or a word that JSON does not know.
_NOT_A_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')


def column(stored: ColumnElement[Any]) -> ColumnElement[Any]:
    """Select a JSON column so that every document in it can be read, under the name of the column."""
    return type_coerce(cast(stored, Text), _Document).label(stored.key)


def is_unreadable(fault: BaseException) -> bool:
    """Tell whether an error is Python's inability to decode a document, in a column read by other means."""
    return isinstance(fault, RecursionError) or "integer string conversion" in str(fault)


def decode(text: str) -> Any:
    """Return the value of a JSON text.

    A document that Python cannot decode becomes a fragment, which `json_encoding.encode` writes verbatim; a text that
    is not JSON, which only SQLite stores, is returned unchanged.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
    except (ValueError, RecursionError):
        return orjson.Fragment(_NOT_A_NUMBER.sub(_known, text))


def _known(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else "null"


class _Document(TypeDecorator[Any]):
    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else decode(value)
