"""Named objects: what variables, connections and pools do alike, each described by a `Noun`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from airflow.configuration import conf
from airflow.models.team import Team
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.named.named_errors import (
    CreationDenied,
    FieldNotChangeable,
    NameDiffers,
    NameMissing,
    NothingToReplace,
    TeamsAreOff,
    UnknownTeam,
)
from airflow_rest_api.services.states import Precondition, Stated

Model = TypeVar("Model")
Result = TypeVar("Result")
Entry = dict[str, Any]
Fields = Mapping[str, Any]


def _anything(*_: Any) -> None:
    """Let everything pass."""


@dataclass(frozen=True)
class Noun(Generic[Model]):
    """A kind of named object.

    ``word`` is what the auth manager and sentences call it, ``column`` holds the names, ``name_field`` is their
    field in bodies. ``entries`` shapes answers, ``state`` returns the stored columns that callers can change.

    ``make`` returns a new object of a body, ``change`` sets the fields of an object that it is given, and no others;
    what either refuses, it raises. ``not_found`` and ``already_there`` make the refusals from a name.

    ``defaults`` are what a replacement gives to the fields that the body leaves out, ``overwritten`` what a bulk
    creation gives to those of an object that it overwrites. ``fixed`` fields cannot be in an update mask.
    ``refuse_change`` raises for a body and a mask that an object does not take; a bulk update ends at what it refuses
    as `FieldNotChangeable`, and is undone by other refusals. ``refuse_deletion`` raises for an object that has to stay.
    A bulk creation that names the same new object twice is undone where the objects are ``made_once``; otherwise what
    comes last overwrites.
    """

    word: str
    model: type[Model]
    column: Any
    name_field: str
    entries: Callable[[Session, Sequence[Model]], list[Entry]]
    state: Callable[[Model], tuple[Any, ...]]
    make: Callable[[Fields], Model]
    change: Callable[[Model, Fields], None]
    not_found: Callable[[str], errors.NotFound]
    already_there: Callable[[str], errors.AlreadyExists]
    defaults: Fields = field(default_factory=dict)
    overwritten: Fields = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    refuse_change: Callable[[Model, Fields, Sequence[str] | None], None] = _anything
    refuse_deletion: Callable[[Model], None] = _anything
    made_once: bool = False


def get(noun: Noun[Model], name: str) -> Stated:
    """Return an object; raises the noun's `not_found`."""
    with reading() as session:
        found = session.scalar(select(noun.model).where(noun.column == name))
        if found is None:
            raise noun.not_found(name)
        return stated(noun, session, found)


def create(noun: Noun[Model], body: Fields) -> Stated:
    """Create an object and return it; raises the noun's `already_there`."""
    name = body[noun.name_field]

    def work(session: Session) -> Stated:
        if _locked(noun, session, name) is not None:
            raise noun.already_there(name)
        made = added(noun, session, body)
        answer = stated(noun, session, made)
        retries.done(session, answer.answer)
        return answer

    try:
        return write(work)
    except errors.AlreadyExists as fault:
        # Somebody else made it between our looking and our writing.
        raise noun.already_there(name) from fault


def patch(
    noun: Noun[Model], name: str, *, body: Fields, mask: Sequence[str] | None, precondition: Precondition
) -> Stated:
    """Change the fields that the body has, of those that the mask names if there is one.

    Raises the noun's `not_found`, `TeamsAreOff`, `NameDiffers`, `FieldNotChangeable`, what the noun refuses, and
    `StateChanged` where the precondition does not hold.
    """
    require_teams(body)
    require_same_name(noun, name, body)

    def work(session: Session) -> Stated:
        found = locked(noun, session, name)
        precondition.require(noun.state(found))
        noun.refuse_change(found, body, mask)
        changed(noun, session, found, masked(noun, body, mask))
        return stated(noun, session, found)

    return write(work)


def put(noun: Noun[Model], name: str, *, body: Fields, precondition: Precondition, caller: Caller) -> Stated:
    """Create an object, or replace the one that has the name: fields that the body leaves out get their defaults.

    Raises `NameDiffers`, `CreationDenied` where there is none and the caller may not create it, `NothingToReplace`
    where there is none and the precondition expects one, `StateChanged` where it does not hold.
    """
    require_same_name(noun, name, {noun.name_field: name, **body})
    may_create = caller.permissions.may_named(noun.word, name, "POST", body.get("team_name"))

    def work(session: Session) -> Stated:
        found = _locked(noun, session, name)
        if found is not None:
            precondition.require(noun.state(found))
            changed(noun, session, found, {**noun.defaults, **body})
            return stated(noun, session, found)
        if precondition.present:
            raise NothingToReplace(noun.word, name)
        if not may_create:
            raise CreationDenied(noun.word, name)
        return stated(noun, session, added(noun, session, {**body, noun.name_field: name}))

    return again_if_created(work)


def delete(noun: Noun[Model], name: str, *, precondition: Precondition) -> None:
    """Delete an object; raises the noun's `not_found`, and `StateChanged` where the precondition does not hold."""

    def work(session: Session) -> None:
        found = locked(noun, session, name)
        precondition.require(noun.state(found))
        noun.refuse_deletion(found)
        session.delete(found)

    write(work)


def stated(noun: Noun[Model], session: Session, found: Model) -> Stated:
    """Return an object as it is answered, with its state."""
    return Stated(noun.entries(session, [found])[0], noun.state(found))


def locked(noun: Noun[Model], session: Session, name: str) -> Model:
    """Return an object with its row locked until the unit of work ends; raises the noun's `not_found`."""
    found = _locked(noun, session, name)
    if found is None:
        raise noun.not_found(name)
    return found


def _locked(noun: Noun[Model], session: Session, name: str) -> Model | None:
    return session.scalar(select(noun.model).where(noun.column == name).with_for_update())


def added(noun: Noun[Model], session: Session, body: Fields) -> Model:
    """Make an object of a body and store it; raises `NameMissing`."""
    if not body[noun.name_field]:
        raise NameMissing(noun.word, noun.name_field)
    require_team(session, body)
    made = noun.make(body)
    session.add(made)
    session.flush()
    return made


def changed(noun: Noun[Model], session: Session, found: Model, fields: Fields) -> None:
    """Set these fields of an object, except its name, and store it."""
    require_team(session, fields)
    noun.change(found, {name: value for name, value in fields.items() if name != noun.name_field})
    session.flush()


def require_same_name(noun: Noun[Model], name: str, body: Fields) -> None:
    """Raise `NameDiffers` unless the body names the object as the path does."""
    if body.get(noun.name_field) != name:
        raise NameDiffers(noun.name_field, name)


def masked(noun: Noun[Model], body: Fields, mask: Sequence[str] | None) -> Fields:
    """Return the fields of the body that the mask names, all without a mask; raises `FieldNotChangeable`."""
    if not mask:
        return body
    if fixed := sorted(noun.fixed & set(mask)):
        raise FieldNotChangeable(fixed)
    return {name: value for name, value in body.items() if name in mask}


def require_teams(fields: Fields) -> None:
    """Raise `TeamsAreOff` where the fields name a team, and there are none."""
    if fields.get("team_name") is not None and not conf.getboolean("core", "multi_team"):
        raise TeamsAreOff


def require_team(session: Session, fields: Fields) -> None:
    """Raise `TeamsAreOff` or `UnknownTeam` where the fields name a team that an object cannot belong to."""
    require_teams(fields)
    team = fields.get("team_name")
    if team is not None and session.scalar(select(Team.name).where(Team.name == team)) is None:
        raise UnknownTeam(team)


def again_if_created(work: Callable[[Session], Result]) -> Result:
    """Do ``work``, once more where somebody else created what it was about to create: then it is changed."""
    try:
        return write(work)
    except errors.AlreadyExists:
        return write(work)
