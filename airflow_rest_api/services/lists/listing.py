"""Lists: filters, order, pages and cursors, with the meaning that Airflow's `/api/v2` gives them.

A list operation declares its filters as a table, ``{query parameter: clause}``; a clause makes a
condition from a value. `conditions` applies the table to what the caller sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow.configuration import conf
from sqlalchemy import Text, and_, cast, func, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement, Select

Clause = Callable[[Any], ColumnElement[bool]]
Filters = Mapping[str, Clause]

# What Airflow counts at the most where a list is read by cursor (EXACT_COUNT_LIMIT).
CURSOR_COUNT_LIMIT = 50_000


def conditions(filters: Filters, query: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Make a condition of every filter that the query gives a value; an empty list or text gives none.

    An empty term of a pattern gives one, as in Airflow: it keeps what is not null.
    """
    return [clause(query[name]) for name, clause in filters.items() if _is_given(name, query.get(name))]


def _is_given(name: str, value: Any) -> bool:
    return value is not None and value != [] and (value != "" or name.endswith("_pattern"))


def page_limit(limit: int | None) -> int:
    """Return the number of entries of one page: the default without a wish, never above the maximum.

    `[api] fallback_page_limit` and `[api] maximum_page_limit`; a larger wish is cut silently, as in Airflow.
    """
    wish = conf.getint("api", "fallback_page_limit") if limit is None else limit
    return min(wish, conf.getint("api", "maximum_page_limit"))


def total(session: Session, statement: Select[Any], *, at_most: int | None = None) -> int:
    """Count what ``statement`` selects, reading no more than ``at_most`` rows."""
    counted = statement.order_by(None)
    if at_most is not None:
        counted = counted.limit(at_most)
    return session.scalar(select(func.count()).select_from(counted.subquery())) or 0


def page_total(session: Session, statement: Select[Any], *, found: int, limit: int, offset: int) -> int:
    """Count what ``statement`` selects, unless its page, of which ``found`` entries came, is the last one."""
    if found < limit and (found or not offset):
        return offset + found
    return total(session, statement)


def equal(column: Any) -> Clause:
    """The column has this value."""
    return lambda value: column == value


def any_of(column: Any) -> Clause:
    """The column has one of these values; the word ``none`` stands for null."""

    def clause(values: Iterable[Any]) -> ColumnElement[bool]:
        given = list(values)
        known = [value for value in given if value not in (None, "none")]
        terms = [column.in_(known)] if known else []
        return or_(*terms, *([column.is_(None)] if len(known) < len(given) else []))

    return clause


def none_of(column: Any) -> Clause:
    """The column has none of these values."""
    return lambda values: column.notin_(list(values))


def contains(column: Any) -> Clause:
    """The column, a JSON one as text, contains this text, in which ``%`` and ``_`` are wildcards as in Airflow."""
    return lambda value: cast(column, Text).contains(value)


def pattern(column: Any, *, alternatives: bool = True) -> Clause:
    """The column contains the term in any case: ``%`` and ``_`` are wildcards, ``~`` means anything.

    ``|`` means or, unless there are no ``alternatives``.
    """

    def clause(value: str) -> ColumnElement[bool]:
        sought = "%" if value == "~" else value
        return or_(*(column.ilike(f"%{term}%") for term in (_terms(sought) if alternatives else [sought])))

    return clause


def prefix(column: Any, *, alternatives: bool = True) -> Clause:
    """The column starts with the term, case-sensitively, by an index range: ``~`` means anything.

    ``|`` means or, unless there are no ``alternatives``.

    Characters at the term's end that are neither letter nor digit are dropped, because locale-aware
    collations sort them in ways that break a range.
    """

    def clause(value: str) -> ColumnElement[bool]:
        sought = "" if value == "~" else value
        return or_(*(_starts_with(column, term) for term in (_terms(sought) if alternatives else [sought])))

    return clause


def _terms(value: str) -> list[str]:
    parts = [part.strip() for part in value.split("|") if part.strip()] if "|" in value else []
    return parts or [value]


def _starts_with(column: Any, term: str) -> ColumnElement[bool]:
    lower = _alphanumeric_head(term)
    if not lower:
        condition: ColumnElement[bool] = column.is_not(None)
        return condition
    upper = prefix_upper_bound(lower)
    above: ColumnElement[bool] = column >= lower
    return above if upper is None else and_(above, column < upper)


def prefix_upper_bound(lower: str) -> str | None:
    """Return the smallest text above all that starts with ``lower`` and ends in a letter or digit, if any."""
    while lower := _alphanumeric_head(lower):
        successor = chr(ord(lower[-1]) + 1) if ord(lower[-1]) < 0x10FFFF else ""
        if successor.isalnum():
            return lower[:-1] + successor
        lower = lower[:-1]
    return None


def _alphanumeric_head(term: str) -> str:
    while term and not term[-1].isalnum():
        term = term[:-1]
    return term


def ranges(name: str, column: Any, *, open_ended: bool = False) -> dict[str, Clause]:
    """Return the four filters ``name_gte``, ``name_gt``, ``name_lte``, ``name_lt``.

    With ``open_ended`` a null counts as now: what has not started or ended yet lies after every past
    bound. It is written as an OR, because a coalesce would hide the column's index.
    """

    def bound(compare: Callable[[Any, Any], Any], *, upper: bool) -> Clause:
        def clause(value: datetime | float) -> ColumnElement[bool]:
            plain: ColumnElement[bool] = compare(column, value)
            if not open_ended:
                return plain
            now = and_(column.is_(None), compare(func.now(), value)) if upper else column.is_(None)
            return or_(plain, now)

        return clause

    return {
        f"{name}_gte": bound(lambda a, b: a >= b, upper=False),
        f"{name}_gt": bound(lambda a, b: a > b, upper=False),
        f"{name}_lte": bound(lambda a, b: a <= b, upper=True),
        f"{name}_lt": bound(lambda a, b: a < b, upper=True),
    }
