"""Readable rows: what of a table goes into an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing


def of(
    word: str, column: Any, query: Mapping[str, Any], pattern: str, caller: Caller
) -> Sequence[Mapping[Any, Any]]:
    """Return the rows that the caller may read, ordered by name.

    ``word`` is what the auth manager calls such objects, ``column`` holds their names, and ``pattern`` is the parameter
    of the ``query`` that selects some of them.
    """
    filters = {pattern: listing.pattern(column)}
    conditions = [
        *caller.permissions.named_scope(word, "GET").restrict(column),
        *listing.conditions(filters, query),
    ]
    with reading() as session:
        statement = select(column.table).where(*conditions).order_by(column)
        return session.execute(statement).mappings().all()
