"""Pools: how many slots tasks may take at the same time, and how many they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, retries, teams
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.pools import pool_changes, pool_rows
from airflow_rest_api.services.pools.pool_rows import COLUMNS, Entry
from airflow_rest_api.services.states import Precondition, Stated

_FILTERS = {
    "pool_name_pattern": listing.pattern(COLUMNS.pool),
    "pool_name_prefix_pattern": listing.prefix(COLUMNS.pool),
}
_SORTING = ordering.Sorting(
    {"id": COLUMNS.id, "pool": COLUMNS.pool, "name": COLUMNS.pool}, ("id", COLUMNS.id)
)


class PoolExists(errors.AlreadyExists):
    """There is a pool of this name."""

    title = "The pool exists already"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The pool '{name}' exists already; `patch_pool` changes it, and `put_pool` replaces it.",
            pool_name=name,
        )


class PoolMissing(errors.PreconditionFailed):
    """The caller expected a pool where there is none."""

    title = "There is no such pool"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no pool '{name}', and If-Match asks for one; without it, it is made.", pool_name=name
        )


def get_pools(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the pools that the caller may read."""
    allowed = caller.permissions.named_scope("pool", "GET").restrict(COLUMNS.pool)
    conditions = [*listing.conditions(_FILTERS, query), *allowed]
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    keys = _SORTING.keys(query["order_by"])
    with reading() as session:
        page = ordering.ordered(pool_rows.statement().where(*conditions), keys).limit(limit).offset(offset)
        rows = session.execute(page).all()
        every = select(COLUMNS.id).where(*conditions)
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
        return {"pools": pool_rows.entries(session, rows), "total_entries": total}


def post_pool(*, body: Mapping[str, Any]) -> Entry:
    """Create a pool; raises `PoolExists`, and `TeamsOff` or `TeamUnknown`."""

    def work(session: Session) -> Entry:
        teams.require(session, body.get("team_name"))
        pool = pool_changes.made(body["name"], body)
        session.add(pool)
        session.flush()
        return retries.done(session, pool_rows.entries(session, [pool])[0])

    try:
        return write(work)
    except errors.AlreadyExists as fault:
        raise PoolExists(body["name"]) from fault


def get_pool(pool_name: str) -> Stated:
    """Return a pool; raises `PoolNotFound`."""
    with reading() as session:
        return pool_rows.stated(session, pool_rows.one(session, pool_name))


def patch_pool(
    pool_name: str, *, body: Mapping[str, Any], update_mask: Sequence[str] | None, precondition: Precondition
) -> Stated:
    """Change a pool; raises `PoolNotFound`, `StateChanged`, and what `pool_changes.change` raises."""
    pool_changes.require_name(pool_name, body)

    def work(session: Session) -> Stated:
        teams.require(session, body.get("team_name"))
        pool = _expected(session, pool_name, precondition)
        pool_changes.change(pool, body, update_mask)
        session.flush()
        return pool_rows.stated(session, pool)

    return write(work)


def put_pool(pool_name: str, *, body: Mapping[str, Any], precondition: Precondition) -> Stated:
    """Create or replace a pool; raises `PoolMissing`, `StateChanged`, and what `pool_changes.replace` raises."""
    pool_changes.require_name(pool_name, body)

    def work(session: Session) -> Stated:
        teams.require(session, body.get("team_name"))
        pool = pool_rows.locked(session, [pool_name]).get(pool_name)
        if pool is None:
            if precondition or precondition.anything:
                raise PoolMissing(pool_name)
            pool = pool_changes.made(pool_name, body)
            session.add(pool)
        else:
            precondition.require(pool_rows.state(pool))
            pool_changes.replace(pool, body)
        session.flush()
        return pool_rows.stated(session, pool)

    try:
        return write(work)
    except errors.AlreadyExists:
        # Somebody else has made it meanwhile: now there is a row to replace.
        return write(work)


def delete_pool(pool_name: str, *, precondition: Precondition) -> None:
    """Delete a pool, whatever is in it; raises `DefaultPoolNotDeletable`, `PoolNotFound` and `StateChanged`."""
    if pool_name == pool_rows.DEFAULT:
        raise pool_changes.DefaultPoolNotDeletable

    def work(session: Session) -> None:
        session.delete(_expected(session, pool_name, precondition))

    write(work)


def _expected(session: Session, name: str, precondition: Precondition) -> Any:
    """Return a pool with its row locked, in the state that the caller expects."""
    pool = pool_rows.locked(session, [name]).get(name)
    if pool is None:
        raise pool_rows.PoolNotFound(name)
    precondition.require(pool_rows.state(pool))
    return pool
