"""Pools: how many slots tasks may take at the same time, and how many they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow.models.pool import Pool

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.lists import listing
from airflow_rest_api.services.lists.ordering import Sorting
from airflow_rest_api.services.named import named_object, named_object_bulk, named_object_list
from airflow_rest_api.services.named.named_errors import NameDiffers
from airflow_rest_api.services.named.named_object import Entry, Fields, Noun
from airflow_rest_api.services.named.named_object_list import NamedList
from airflow_rest_api.services.pools import pool_changes, pool_rows
from airflow_rest_api.services.states import Precondition, Stated


class PoolNotFound(errors.NotFound):
    """There is no such pool."""

    title = "Pool not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no pool '{name}'.", pool_name=name)


class PoolExists(errors.AlreadyExists):
    """There is a pool of this name."""

    title = "The pool exists already"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a pool '{name}' already; change it by PATCH or replace it by PUT.", pool_name=name
        )


NOUN = Noun(
    word="pool",
    model=Pool,
    column=Pool.pool,
    name_field="name",
    entries=pool_rows.entries,
    state=pool_rows.state,
    make=pool_changes.made,
    change=pool_changes.change,
    not_found=PoolNotFound,
    already_there=PoolExists,
    # The team stays that of the pool, unless the body names one.
    defaults={"description": None, "include_deferred": False},
    refuse_change=pool_changes.refuse_change,
    refuse_deletion=pool_changes.refuse_deletion,
    made_once=True,
)
# Its description cannot be changed, so it is not asked for either.
_DEFAULT_POOL = replace(NOUN, defaults={"include_deferred": False})
_TABLE = Pool.__table__
_LIST = NamedList(
    noun=NOUN,
    field="pools",
    filters={
        "pool_name_pattern": listing.pattern(_TABLE.c.pool),
        "pool_name_prefix_pattern": listing.prefix(_TABLE.c.pool),
    },
    sorting=Sorting(
        columns={"id": _TABLE.c.id, "pool": _TABLE.c.pool, "name": _TABLE.c.pool},
        primary_key=("id", _TABLE.c.id),
    ),
)


def get_pools(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the pools that the caller may read."""
    return named_object_list.page(_LIST, query=query, caller=caller)


def get_limits(*, caller: Caller) -> list[tuple[Any, ...]]:
    """Return name, slots and description of all pools that the caller may read."""
    return named_object_list.columns(NOUN, [Pool.pool, Pool.slots, Pool.description], caller)


def get_pool(name: str) -> Stated:
    """Return a pool; raises `PoolNotFound`."""
    return named_object.get(NOUN, name)


def post_pool(*, body: Fields) -> Stated:
    """Create a pool; raises `PoolExists`."""
    return named_object.create(NOUN, _named(body))


def patch_pool(name: str, *, body: Fields, mask: Sequence[str] | None, precondition: Precondition) -> Stated:
    """Change a pool; raises what `named_object.patch` and `pool_changes.refuse_change` raise."""
    named = [body[field] for field in ("pool", "name") if body.get(field) is not None]
    if any(each != name for each in named):
        raise NameDiffers("pool", name)
    whole = {**body, "name": name, "pool": named[0] if named else None}
    return named_object.patch(NOUN, name, body=whole, mask=mask, precondition=precondition)


def put_pool(name: str, *, body: Fields, precondition: Precondition, caller: Caller) -> Stated:
    """Create or replace a pool; raises what `named_object.put` raises, and `DefaultPoolFixed`."""
    noun = _DEFAULT_POOL if name == pool_changes.DEFAULT else NOUN
    return named_object.put(noun, name, body=body, precondition=precondition, caller=caller)


def delete_pool(name: str, *, precondition: Precondition) -> None:
    """Delete a pool, whatever is in it; raises what `named_object.delete` raises, and `DefaultPoolNotDeletable`."""
    named_object.delete(NOUN, name, precondition=precondition)


def bulk_pools(*, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Carry out the actions of the body in their order; raises `Denied` before the first when one is not allowed."""
    actions = [
        {**action, "entities": [_named(entity) for entity in action["entities"]]}
        for action in body["actions"]
    ]
    return named_object_bulk.carry_out(NOUN, actions=actions, caller=caller)


def _named(entity: Any) -> Any:
    """Return a pool whose name is in the field `name`; Airflow accepts the field `pool` as well."""
    if not isinstance(entity, Mapping) or "pool" not in entity:
        return entity
    return {"name": entity["pool"], **{field: value for field, value in entity.items() if field != "pool"}}
