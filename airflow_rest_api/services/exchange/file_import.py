"""Imports: the entries of a file become variables, connections or pools, all of them in one transaction or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tenacity
from airflow.configuration import conf
from airflow.models.team import Team
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import ATTEMPTS, write
from airflow_rest_api.services.exchange import exchange_file
from airflow_rest_api.services.exchange.exchange_file import Entry
from airflow_rest_api.services.exchange.import_refusals import AlreadyThere, Faults, ImportDenied, Wrong
from airflow_rest_api.services.exchange.stored_text import SecretUnreadable
from airflow_rest_api.services.files.uploads import Upload

Fields = Mapping[str, Any]
# As SQLAlchemy has it: a mapping of columns.
Row = Mapping[Any, Any]
Json = dict[str, Any]

# How many names are looked up with one statement.
_AT_ONCE = 500


@dataclass(frozen=True)
class Importable:
    """A kind of object that files hold.

    ``word`` is what the auth manager and sentences call it, ``column`` holds the names. ``fields`` reads an entry of a
    file and raises `Wrong`, ``stored`` reads a row. ``merged`` puts what is stored where the fields have a mask, and
    may add why something was left out; it raises `MaskedValue` and `Wrong`. ``values`` are the columns to be written.
    ``masked`` is what may be shown of fields. ``always_there`` is the object that nobody can delete, so that it is no
    conflict unless it differs.
    """

    word: str
    column: Any
    fields: Callable[[Entry], Fields]
    stored: Callable[[Row], Fields]
    merged: Callable[[str, Fields, Fields | None], tuple[Fields, str | None]]
    values: Callable[[Fields], Json]
    masked: Callable[[str, Fields], Fields] = lambda _, fields: fields
    always_there: str | None = None


@dataclass(frozen=True)
class _Rights:
    """The names in a file that the caller may not create, and what the caller may overwrite."""

    uncreatable: frozenset[str]
    may_overwrite: Callable[[str], bool]


@dataclass
class _Plan:
    """What an import does."""

    created: list[Json] = field(default_factory=list)
    updated: list[Json] = field(default_factory=list)
    items: list[Json] = field(default_factory=list)

    def note(self, name: str, action: str, reason: str | None = None) -> None:
        self.items.append({"name": name, "action": action, "reason": reason})

    def outcome(self) -> Json:
        actions = [item["action"] for item in self.items]
        counts = {action: actions.count(action) for action in ("created", "updated", "skipped", "unchanged")}
        return {"items": self.items, **counts, "total_entries": len(actions)}


def import_file(kind: Importable, query: Mapping[str, Any], *, upload: Upload, caller: Caller) -> Json:
    """Import a file and tell what became of each entry; ``query`` has `format`, `on_conflict` and `dry_run`.

    Raises `FileTooLarge`, `FileUnreadable`, `ImportRejected` for wrong entries, `ImportDenied`, and
    `AlreadyThere` where `on_conflict` is `fail`; nothing is stored then.
    """
    on_conflict, dry_run = query["on_conflict"], query["dry_run"]
    wanted = _wanted(kind, exchange_file.read(upload, query["format"]))
    rights = _rights(kind, wanted, caller, overwriting=on_conflict == "overwrite")

    def work(session: Session) -> Json:
        outcome = _carry_out(session, kind, wanted, rights, on_conflict)
        return outcome if dry_run else retries.done(session, outcome)

    run: Callable[[Callable[[Session], Json]], Json] = dry_runs.undone if dry_run else write
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_was_created_meanwhile),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    return again(run, work)


def _was_created_meanwhile(fault: BaseException) -> bool:
    """Tell whether somebody else created one of the objects between our looking and our writing.

    When it is looked for again it is there; of many files at once, one more has been imported each time.
    """
    return isinstance(fault, errors.AlreadyExists) and not isinstance(fault, AlreadyThere)


def _wanted(kind: Importable, entries: Sequence[Entry]) -> dict[str, Fields]:
    found, faults = dict[str, Fields](), Faults(kind.word)
    for entry in entries:
        with faults.of(entry.name):
            found[entry.name] = kind.fields(entry)
    faults.refuse()
    return found


def _rights(kind: Importable, wanted: Mapping[str, Fields], caller: Caller, *, overwriting: bool) -> _Rights:
    """Ask for everything that may turn out to be needed: no question may be asked while the rows are locked."""
    permissions = caller.permissions
    everything = permissions.named_scope(kind.word, "POST").everything

    def may_create(name: str, fields: Fields) -> bool:
        team = fields.get("team_name")
        return (everything and team is None) or permissions.may_named(kind.word, name, "POST", team)

    uncreatable = frozenset(name for name, fields in wanted.items() if not may_create(name, fields))
    scope = permissions.named_scope(kind.word, "PUT") if overwriting else None
    return _Rights(uncreatable, lambda name: scope is not None and (scope.everything or name in scope.names))


def _carry_out(
    session: Session, kind: Importable, wanted: Mapping[str, Fields], rights: _Rights, on_conflict: str
) -> Json:
    rows = {row[kind.column.name]: row for row in _locked(session, kind, sorted(wanted))}
    if on_conflict == "fail":
        _refuse_existing(kind, wanted, rows)
    _refuse_teams(session, kind, wanted)
    plan, faults = _Plan(), Faults(kind.word)
    for name, fields in wanted.items():
        with faults.of(name):
            if name not in rows:
                _create(plan, kind, name, fields, rights)
            elif on_conflict == "skip":
                plan.note(name, "skipped", "It exists already.")
            else:
                _overwrite(plan, kind, name, fields, rows[name], rights)
    faults.refuse()
    _store(session, kind, plan)
    return plan.outcome()


def _refuse_teams(session: Session, kind: Importable, wanted: Mapping[str, Fields]) -> None:
    """Raise `ImportRejected` for entries of teams that do not exist, or of any where there are none."""
    named = {name: fields["team_name"] for name, fields in wanted.items() if fields.get("team_name")}
    if not named:
        return
    known = set(session.scalars(select(Team.name))) if conf.getboolean("core", "multi_team") else set()
    faults = Faults(kind.word)
    for name, team in named.items():
        with faults.of(name):
            if team not in known:
                raise Wrong("There is no team of the name that `team_name` has.")
    faults.refuse()


def _locked(session: Session, kind: Importable, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of these names, locked in one order everywhere, so that two imports do not wait for each other."""
    for start in range(0, len(names), _AT_ONCE):
        some = kind.column.in_(names[start : start + _AT_ONCE])
        statement = select(kind.column.table).where(some).order_by(kind.column).with_for_update()
        yield from session.execute(statement).mappings()


def _refuse_existing(kind: Importable, wanted: Mapping[str, Fields], rows: Mapping[str, Row]) -> None:
    def is_same(name: str) -> bool:
        return name == kind.always_there and dict(wanted[name]) == dict(kind.stored(rows[name]))

    existing = [name for name in wanted if name in rows and not is_same(name)]
    if existing:
        raise AlreadyThere(kind.word, existing)


def _overwrite(plan: _Plan, kind: Importable, name: str, fields: Fields, row: Row, rights: _Rights) -> None:
    stored = _readable(kind, row)
    merged, left_out = kind.merged(name, fields, stored)
    # Whether a secret in the file is the stored one is not told: that could be guessed at.
    has_secret = kind.masked(name, fields) != fields
    if stored is not None and not has_secret and dict(merged) == dict(stored):
        plan.note(name, "unchanged")
        return
    if not rights.may_overwrite(name):
        raise ImportDenied(kind.word, name, "PUT")
    plan.updated.append({"b_id": row["id"], **kind.values(merged)})
    plan.note(name, "updated", left_out)


def _readable(kind: Importable, row: Row) -> Fields | None:
    """Return what is stored, None where it cannot be decrypted: to be overwritten it need not be."""
    try:
        return kind.stored(row)
    except SecretUnreadable:
        return None


def _create(plan: _Plan, kind: Importable, name: str, fields: Fields, rights: _Rights) -> None:
    if name in rights.uncreatable:
        raise ImportDenied(kind.word, name, "POST")
    merged, left_out = kind.merged(name, fields, None)
    plan.created.append({kind.column.name: name, **kind.values(merged)})
    plan.note(name, "created", left_out)


def _store(session: Session, kind: Importable, plan: _Plan) -> None:
    table = kind.column.table
    if plan.created:
        session.execute(insert(table), plan.created)
    if plan.updated:
        changed: Json = {name: bindparam(name) for name in plan.updated[0] if name != "b_id"}
        statement = update(table).where(table.c.id == bindparam("b_id")).values(changed)
        # The connection's own: a session would take the parameters for objects of its own.
        session.connection().execute(statement, plan.updated)
