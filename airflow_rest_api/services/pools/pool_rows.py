"""Pools as callers see them: what is stored, and the slots that task instances take at this moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from airflow_rest_api.services import errors
from airflow_rest_api.services.states import Stated

Entry = dict[str, Any]

DEFAULT = Pool.DEFAULT_POOL_NAME
UNLIMITED = -1
COLUMNS = Pool.__table__.c
_STORED = (COLUMNS.pool, COLUMNS.slots, COLUMNS.description, COLUMNS.include_deferred, COLUMNS.team_name)
_INSTANCE = TaskInstance.__table__.c
_COUNTED = (
    TaskInstanceState.RUNNING,
    TaskInstanceState.QUEUED,
    TaskInstanceState.SCHEDULED,
    TaskInstanceState.DEFERRED,
)


class PoolNotFound(errors.NotFound):
    """There is no such pool."""

    title = "Pool not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"The pool '{name}' was not found.", pool_name=name)


def statement() -> Select[Any]:
    """Select what is stored of pools, for `entries`."""
    return select(*_STORED)


def entries(session: Session, pools: Sequence[Any]) -> list[Entry]:
    """Return the pools (rows of `statement`, or objects) with the slots that are taken: one statement for all."""
    taken = _taken(session, [pool.pool for pool in pools])
    return [_entry(pool, taken.get(pool.pool, {})) for pool in pools]


def stated(session: Session, pool: Any) -> Stated:
    """Return one pool with its state."""
    return Stated(entries(session, [pool])[0], state(pool))


def state(pool: Any) -> tuple[Any, ...]:
    """Return what callers can change of a pool."""
    return pool.pool, pool.slots, pool.description, bool(pool.include_deferred), pool.team_name


def one(session: Session, name: str) -> Any:
    """Return what is stored of a pool; raises `PoolNotFound`."""
    row = session.execute(statement().where(COLUMNS.pool == name)).one_or_none()
    if row is None:
        raise PoolNotFound(name)
    return row


def locked(session: Session, names: Iterable[str]) -> dict[str, Pool]:
    """Return those of the pools that exist, by name, with their rows locked until the unit of work ends."""
    # In one order everywhere, so that two requests do not wait for each other.
    query = select(Pool).where(Pool.pool.in_(sorted(set(names)))).order_by(Pool.id).with_for_update()
    return {str(pool.pool): pool for pool in session.scalars(query)}


def _taken(session: Session, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the slots of task instances by pool and state, by the index on both (Airflow: `Pool.running_slots` …)."""
    if not names:
        return {}
    found: dict[str, dict[str, int]] = {}
    counted = (
        select(_INSTANCE.pool, _INSTANCE.state, func.sum(_INSTANCE.pool_slots))
        .where(_INSTANCE.pool.in_(names), _INSTANCE.state.in_(_COUNTED))
        .group_by(_INSTANCE.pool, _INSTANCE.state)
    )
    for pool, instance_state, slots in session.execute(counted):
        found.setdefault(pool, {})[str(instance_state)] = int(slots)
    return found


def _entry(pool: Any, taken: Mapping[str, int]) -> Entry:
    running, queued, scheduled, deferred = (taken.get(each.value, 0) for each in _COUNTED)
    occupied = running + queued + (deferred if pool.include_deferred else 0)
    return {
        "name": pool.pool,
        "slots": pool.slots,
        "description": pool.description,
        "include_deferred": bool(pool.include_deferred),
        "occupied_slots": occupied,
        "running_slots": running,
        "queued_slots": queued,
        "scheduled_slots": scheduled,
        "open_slots": UNLIMITED if pool.slots == UNLIMITED else pool.slots - occupied,
        "deferred_slots": deferred,
        "team_name": pool.team_name,
    }
