"""Bulk changes of pools: many are created, changed and deleted in one request and one transaction (`bulk.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from airflow_rest_api.services import bulk, teams
from airflow_rest_api.services.bulk import Action, Result
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import write
from airflow_rest_api.services.pools import pool_changes, pool_rows


def bulk_pools(*, body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """Carry out the actions of the body in their order; raises `Denied` before the first when one is not allowed."""
    for name, method, team in _touched(body["actions"]):
        caller.permissions.require_named("pool", name, method, team)
    return write(lambda session: _carry_out(session, body["actions"]))


def _touched(actions: Iterable[Action]) -> set[tuple[str, str, str | None]]:
    """Return each pool that the actions name, with the method that each takes and the team that it is to get."""
    touched = set()
    for action in actions:
        methods = bulk.methods(action)
        for entity in action["entities"]:
            team = None if isinstance(entity, str) else entity.get("team_name")
            touched |= {(_name(entity), method, team) for method in methods}
    return touched


def _carry_out(session: Session, actions: list[Action]) -> dict[str, Any]:
    given = (entity for action in actions for entity in action["entities"] if isinstance(entity, dict))
    for team in sorted({entity["team_name"] for entity in given if entity.get("team_name") is not None}):
        teams.require(session, team)
    doers = {
        "create": lambda action, result: _create(session, action, result),
        "update": lambda action, result: _update(session, action, result),
        "delete": lambda action, result: _delete(session, action, result),
    }
    return bulk.carried_out(session, actions, doers)


def _create(session: Session, action: Action, result: Result) -> None:
    present = pool_rows.locked(session, map(_name, action["entities"]))
    policy = action.get("action_on_existence", "fail")
    if present and policy == "fail":
        bulk.fail(result, 409, f"These pools exist already: {_listed(present)}")
        return
    for entity in action["entities"]:
        pool = present.get(_name(entity))
        if pool is None:
            session.add(pool_changes.made(_name(entity), entity))
        elif policy == "skip":
            continue
        else:
            try:
                pool_changes.overwrite(pool, entity)
            except pool_changes.DefaultPoolFixed as refusal:
                bulk.fail(result, 400, refusal.detail)
                return
        result["success"].append(_name(entity))


def _update(session: Session, action: Action, result: Result) -> None:
    present = _present(session, action, result)
    for entity in action["entities"]:
        pool = present.get(_name(entity))
        if pool is None:
            continue
        try:
            pool_changes.change(pool, entity, action.get("update_mask"))
        except pool_changes.DefaultPoolFixed as refusal:
            # Airflow leaves the rest of the action undone.
            bulk.fail(result, 400, refusal.detail)
            return
        result["success"].append(_name(entity))


def _delete(session: Session, action: Action, result: Result) -> None:
    for name, pool in _present(session, action, result).items():
        if name == pool_rows.DEFAULT:
            # Airflow's bulk deletion deletes it.
            bulk.fail(result, 400, pool_changes.DefaultPoolNotDeletable().detail)
            continue
        session.delete(pool)
        result["success"].append(name)


def _present(session: Session, action: Action, result: Result) -> dict[str, Any]:
    """Return the pools that exist; none, and say so, where one that is missing stops the action."""
    wanted = {_name(entity) for entity in action["entities"]}
    present = pool_rows.locked(session, wanted)
    missing = wanted - present.keys()
    if missing and bulk.fails_on_missing(action):
        bulk.fail(result, 404, f"These pools were not found: {_listed(missing)}")
        return {}
    return present


def _name(entity: str | Mapping[str, Any]) -> str:
    return entity if isinstance(entity, str) else str(entity["name"])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
