"""Changes of pools: what a body may set, which for `default_pool` is less than for the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.models.pool import Pool

from airflow_rest_api.services import errors
from airflow_rest_api.services.named.named_errors import FieldNotChangeable
from airflow_rest_api.services.named.named_object import Fields

DEFAULT = Pool.DEFAULT_POOL_NAME
_FIELDS = ("slots", "description", "include_deferred", "team_name")
# All that Airflow has changed of `default_pool`.
_OF_DEFAULT = ("slots", "include_deferred")


class PoolIncomplete(errors.Malformed):
    """Fields are missing that have to be there."""

    title = "The pool is incomplete"

    def __init__(self, name: str, missing: Sequence[str]) -> None:
        fields = ", ".join(f"'{field}'" for field in missing)
        super().__init__(
            f"A change of the pool '{name}' needs {fields} as well; `update_mask` tells which fields are changed.",
            pool_name=name,
            missing=list(missing),
        )


class DefaultPoolFixed(FieldNotChangeable):
    """`default_pool` would lose what Airflow expects of it."""

    title = "The default pool is fixed"

    def __init__(self) -> None:
        errors.Malformed.__init__(
            self,
            f"Of '{DEFAULT}' only 'slots' and 'include_deferred' can be changed: name them in `update_mask`, or send"
            " the other fields as they are.",
        )


class DefaultPoolNotDeletable(errors.Malformed):
    """`default_pool` was to be deleted."""

    title = "The default pool cannot be deleted"

    def __init__(self) -> None:
        super().__init__(f"The pool '{DEFAULT}' cannot be deleted.")


def made(fields: Fields) -> Pool:
    """Return a new pool of a body."""
    return Pool(
        pool=fields["name"],
        slots=fields["slots"],
        description=fields.get("description"),
        include_deferred=fields.get("include_deferred", False),
        team_name=fields.get("team_name"),
    )


def change(pool: Pool, fields: Fields) -> None:
    """Set these fields of a pool; raises `DefaultPoolFixed`."""
    wished: dict[str, Any] = {name: fields[name] for name in _FIELDS if name in fields}
    others = {name: value for name, value in wished.items() if name not in _OF_DEFAULT}
    if pool.pool == DEFAULT and any(getattr(pool, name) != value for name, value in others.items()):
        raise DefaultPoolFixed
    for name, value in wished.items():
        setattr(pool, name, value)


def refuse_change(pool: Pool, body: Fields, mask: Sequence[str] | None) -> None:
    """Raise `PoolIncomplete` or `DefaultPoolFixed` as Airflow would (`update_orm_from_pydantic`).

    It wants all of a pool in the body, also what the mask leaves out.
    """
    # A pool is named `pool` in the body of a change, and `name` everywhere else.
    needed = {"pool": body.get("pool", body.get("name")), **{name: body.get(name) for name in _OF_DEFAULT}}
    if pool.pool == DEFAULT:
        if not mask or not set(_OF_DEFAULT).issuperset(mask):
            raise DefaultPoolFixed
        needed = {name: body[name] for name in mask if name in body}
    if missing := [name for name, value in needed.items() if value is None]:
        raise PoolIncomplete(str(pool.pool), missing)


def refuse_deletion(pool: Pool) -> None:
    """Raise `DefaultPoolNotDeletable` for that one."""
    if pool.pool == DEFAULT:
        # Airflow's bulk deletion deletes it.
        raise DefaultPoolNotDeletable
