"""Lists of named objects: a page of the variables, connections or pools that a caller may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from sqlalchemy import Select, select

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.lists.listing import Filters
from airflow_rest_api.services.lists.ordering import Sorting
from airflow_rest_api.services.named.named_object import Entry, Model, Noun


@dataclass(frozen=True)
class NamedList(Generic[Model]):
    """How objects of a noun are listed: under which field of the answer, by which filters, in which orders."""

    noun: Noun[Model]
    field: str
    filters: Filters
    sorting: Sorting


def page(wanted: NamedList[Model], *, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the objects that the caller may read; raises `OrderNotAllowed`."""
    noun = wanted.noun
    scope = caller.permissions.named_scope(noun.word, "GET")
    conditions = [*listing.conditions(wanted.filters, query), *scope.restrict(noun.column)]
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    keys = wanted.sorting.keys(query["order_by"])
    with reading() as session:
        chosen = ordering.ordered(select(noun.model).where(*conditions), keys)
        found = session.scalars(chosen.limit(limit).offset(offset)).all()
        every = select(noun.column).where(*conditions)
        total = listing.page_total(session, every, found=len(found), limit=limit, offset=offset)
        return {wanted.field: noun.entries(session, found), "total_entries": total}


def columns(noun: Noun[Model], wanted: Sequence[Any], caller: Caller) -> list[tuple[Any, ...]]:
    """Return some columns of all objects that the caller may read, in the order in which these were made."""
    with reading() as session:
        return [tuple(row) for row in session.execute(readable(noun, wanted, caller))]


def readable(noun: Noun[Model], wanted: Sequence[Any], caller: Caller) -> Select[Any]:
    """Return the statement for all objects that the caller may read: ``wanted`` of each, in the order of their ids."""
    scope = caller.permissions.named_scope(noun.word, "GET")
    return select(*wanted).where(*scope.restrict(noun.column)).order_by(noun.model.id)  # type: ignore[attr-defined]
