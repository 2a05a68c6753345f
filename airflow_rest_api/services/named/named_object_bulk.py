"""Bulk changes of named objects: many created, changed and deleted in one request and one transaction (`bulk.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import bulk
from airflow_rest_api.services.bulk import Action, Result
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.named import named_object
from airflow_rest_api.services.named.named_errors import FieldNotChangeable
from airflow_rest_api.services.named.named_object import Fields, Model, Noun

_Question = tuple[str, str, str | None]


def carry_out(noun: Noun[Model], *, actions: Sequence[Action], caller: Caller) -> dict[str, Any]:
    """Carry out the actions in their order; raises `Denied` before the first when one is not allowed.

    Raises `TeamsAreOff` for a team in any of them where there are none: that means nothing, whatever is there.
    """
    for entity in (entity for action in actions for entity in action["entities"]):
        named_object.require_teams({} if isinstance(entity, str) else entity)
    for name, method, team in sorted(_questions(noun, actions), key=str):
        caller.permissions.require_named(noun.word, name, method, team)
    doers = {"create": _create, "update": _update, "delete": _delete}

    def work(session: Session) -> dict[str, Any]:
        def doer(kind: str) -> bulk.Doer:
            return lambda action, result: doers[kind](noun, session, action, result)

        return bulk.carried_out(session, actions, {kind: doer(kind) for kind in doers})

    return named_object.again_if_created(work)


def _questions(noun: Noun[Model], actions: Sequence[Action]) -> set[_Question]:
    """Return what the caller has to be allowed: of each name the methods that the actions take, for which team.

    What a creation overwrites is changed, so that takes both (`_get_resource_methods_from_bulk_request`).
    """
    questions = set()
    for action in actions:
        methods = bulk.methods(action)
        for entity in action["entities"]:
            team = None if isinstance(entity, str) else entity.get("team_name")
            questions |= {(_name(noun, entity), method, team) for method in methods}
    return questions


def _name(noun: Noun[Model], entity: str | Mapping[str, Any]) -> str:
    return entity if isinstance(entity, str) else str(entity[noun.name_field])


def _create(noun: Noun[Model], session: Session, action: Action, result: Result) -> None:
    policy = action.get("action_on_existence", "fail")
    found = _locked(noun, session, action)
    if found and policy == "fail":
        bulk.fail(result, 409, f"These {noun.word}s exist already: {_quoted(found)}.")
        return
    skipped = set(found) if policy == "skip" else set()
    made: set[str] = set()
    for entity in action["entities"]:
        name = _name(noun, entity)
        if name in skipped:
            continue
        if noun.made_once and name in made:
            raise noun.already_there(name)
        made |= {name} - found.keys()
        with bulk.noting(result, name):
            found[name] = _stored(noun, session, found.get(name), entity)


def _stored(noun: Noun[Model], session: Session, found: Model | None, entity: Fields) -> Model:
    if found is None:
        return named_object.added(noun, session, entity)
    named_object.changed(noun, session, found, {**noun.overwritten, **entity})
    return found


def _update(noun: Noun[Model], session: Session, action: Action, result: Result) -> None:
    found = _present(noun, session, action, result)
    mask = action.get("update_mask")
    for entity in action["entities"]:
        name = _name(noun, entity)
        if name not in found:
            continue
        try:
            noun.refuse_change(found[name], entity, mask)
            fields = named_object.masked(noun, entity, mask)
        except FieldNotChangeable as refusal:
            # It would be said of each of them.
            bulk.refused(result, refusal)
            return
        with bulk.noting(result, name):
            named_object.changed(noun, session, found[name], fields)


def _delete(noun: Noun[Model], session: Session, action: Action, result: Result) -> None:
    found = _present(noun, session, action, result)
    for name in dict.fromkeys(_name(noun, entity) for entity in action["entities"]):
        if name in found:
            with bulk.noting(result, name):
                noun.refuse_deletion(found[name])
                session.delete(found[name])


def _present(noun: Noun[Model], session: Session, action: Action, result: Result) -> dict[str, Model]:
    """Return the objects that are there; none where one that is missing stops the action."""
    found = _locked(noun, session, action)
    missing = {_name(noun, entity) for entity in action["entities"]} - set(found)
    if missing and bulk.fails_on_missing(action):
        bulk.fail(result, 404, f"These {noun.word}s were not found: {_quoted(missing)}.")
        return {}
    return found


def _locked(noun: Noun[Model], session: Session, action: Action) -> dict[str, Model]:
    names = {_name(noun, entity) for entity in action["entities"]}
    if not names:
        return {}
    # In one order everywhere, so that two requests do not wait for each other.
    statement = select(noun.model).where(noun.column.in_(names)).order_by(noun.column).with_for_update()
    return {getattr(entry, noun.column.key): entry for entry in session.scalars(statement)}


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
