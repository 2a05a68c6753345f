"""Changes of pools: what a body may set, which for `default_pool` is less than for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.pool import Pool

from airflow_rest_api.services import errors
from airflow_rest_api.services.pools.pool_rows import DEFAULT

FIELDS = ("slots", "description", "include_deferred", "team_name")
# All that Airflow has changed of `default_pool`.
_OF_DEFAULT = frozenset({"slots", "include_deferred"})


class PoolNameDiffers(errors.Malformed):
    """The body names another pool than the path."""

    title = "The body names another pool"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The body names another pool than the path, '{name}'; pools are not renamed.", pool_name=name
        )


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


class DefaultPoolFixed(errors.Malformed):
    """`default_pool` would lose what Airflow expects of it."""

    title = "The default pool is fixed"

    def __init__(self) -> None:
        super().__init__(
            f"Of '{DEFAULT}' only 'slots' and 'include_deferred' can be changed; name them in `update_mask`, or send"
            " the other fields as they are."
        )


class DefaultPoolNotDeletable(errors.Malformed):
    """`default_pool` was to be deleted."""

    title = "The default pool cannot be deleted"

    def __init__(self) -> None:
        super().__init__(f"The pool '{DEFAULT}' cannot be deleted.")


def made(name: str, body: Mapping[str, Any]) -> Pool:
    """Return a new pool."""
    return Pool(
        pool=name,
        slots=body["slots"],
        description=body.get("description"),
        include_deferred=body.get("include_deferred", False),
        team_name=body.get("team_name"),
    )


def require_name(name: str, body: Mapping[str, Any]) -> None:
    """Raise `PoolNameDiffers` where the body names another pool."""
    if any(body.get(field) not in (None, name) for field in ("pool", "name")):
        raise PoolNameDiffers(name)


def change(pool: Pool, body: Mapping[str, Any], mask: Sequence[str] | None) -> None:
    """Set the fields of a body that the mask names; as Airflow does it (`update_orm_from_pydantic`).

    Raises `DefaultPoolFixed`, and `PoolIncomplete` also where the mask leaves out what is missing.
    """
    wished = {field: body[field] for field in FIELDS if field in body and (not mask or field in mask)}
    needed = {"pool": body.get("pool") or body.get("name"), **{f: body.get(f) for f in sorted(_OF_DEFAULT)}}
    if pool.pool == DEFAULT:
        if not mask or not _OF_DEFAULT.issuperset(mask):
            raise DefaultPoolFixed
        needed = wished
    missing = [field for field, value in needed.items() if value is None]
    if missing:
        raise PoolIncomplete(str(pool.pool), missing)
    _set(pool, wished)


def overwrite(pool: Pool, body: Mapping[str, Any]) -> None:
    """Set the fields of a body; raises `DefaultPoolFixed` where another than slots would be changed."""
    wished = {field: body[field] for field in FIELDS if field in body}
    if pool.pool == DEFAULT and any(
        value != getattr(pool, field) for field, value in wished.items() if field not in _OF_DEFAULT
    ):
        raise DefaultPoolFixed
    _set(pool, wished)


def replace(pool: Pool, body: Mapping[str, Any]) -> None:
    """Set all fields, those that the body leaves out to their defaults, but for those of `default_pool` that are fixed.

    Raises `DefaultPoolFixed`.
    """
    defaults: dict[str, Any] = {"include_deferred": False}
    if pool.pool != DEFAULT:
        defaults |= {"description": None, "team_name": None}
    overwrite(pool, {**defaults, **body})


def _set(pool: Pool, wished: Mapping[str, Any]) -> None:
    for field, value in wished.items():
        setattr(pool, field, value)
