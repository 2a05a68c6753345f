"""Pools as callers see them: what is stored, and the slots that task instances take at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_rest_api.services.named.named_object import Entry

_UNLIMITED = -1
_INSTANCE = TaskInstance.__table__.c
_COUNTED = (
    TaskInstanceState.RUNNING,
    TaskInstanceState.QUEUED,
    TaskInstanceState.SCHEDULED,
    TaskInstanceState.DEFERRED,
)


def entries(session: Session, pools: Sequence[Pool]) -> list[Entry]:
    """Return the pools with the slots that are taken, which is asked for all of them in one statement."""
    taken = _taken(session, [str(pool.pool) for pool in pools])
    return [_entry(pool, taken.get(str(pool.pool), {})) for pool in pools]


def state(pool: Pool) -> tuple[Any, ...]:
    """Return what callers can change of a pool."""
    return pool.pool, pool.slots, pool.description, bool(pool.include_deferred), pool.team_name


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


def _entry(pool: Pool, taken: Mapping[str, int]) -> Entry:
    running, queued, scheduled, deferred = (taken.get(each.value, 0) for each in _COUNTED)
    occupied = running + queued + (deferred if pool.include_deferred else 0)
    return {
        # `/api/v2` never has null here, and its clients reject it.
        "name": pool.pool or "",
        "slots": pool.slots,
        "description": pool.description,
        "include_deferred": bool(pool.include_deferred),
        "occupied_slots": occupied,
        "running_slots": running,
        "queued_slots": queued,
        "scheduled_slots": scheduled,
        "open_slots": _UNLIMITED if pool.slots == _UNLIMITED else pool.slots - occupied,
        "deferred_slots": deferred,
        "team_name": pool.team_name,
    }
