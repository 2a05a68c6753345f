"""Deployment rows: how a deployment is kept, and how it is told."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.sandbox import stack_traces
from airflow_rest_api.services.deployments import deployed_paths
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.storage.tables import deployed_path, deployment_dag
from airflow_rest_api.storage.tables import deployment as table

Entry = dict[str, Any]

CHECKED, STORED, PARSED = "checked", "stored", "parsed"
LIVE, FAILED, ROLLED_BACK, SUPERSEDED = "live", "failed", "rolled_back", "superseded"
UNFINISHED = (CHECKED, STORED, PARSED)
TERMINAL = (LIVE, FAILED, ROLLED_BACK, SUPERSEDED)
# The option that names the deployment which replaced this one before it was live.
SUPERSEDED_BY = "superseded_by"
# The kind of error of a deployment whose process died before its content was stored.
LOST = "lost"
# Of how many deployments of a place the content is kept; the last of them can be taken back to the one before it.
KEPT = 10

_CONTENTS = ("content", "before")
# All but the contents, which are large and not needed to tell what happened.
NARROW = tuple(column for column in table.c if column.name not in _CONTENTS)
IS_CURRENT = (
    select(deployed_path.c.place)
    .where(deployed_path.c.place == table.c.place, deployed_path.c.current == table.c.id)
    .exists()
    .label("is_current")
)


@dataclass(frozen=True)
class Order:
    """What is to stand at a place: ``content``, or nothing; ``dags`` are its DAGs and their paths in the bundle.

    ``permitted`` are the DAGs of which the caller may change the files, ``warnings`` those about the files.
    """

    place: Place
    kind: str
    content: Content | None
    dags: Mapping[str, str]
    permitted: frozenset[str]
    warnings: tuple[Entry, ...] = ()
    keep_on_error: bool = False
    pause: bool = False
    unpause: bool = False
    message: str | None = None
    rollback_of: str | None = None


@dataclass(frozen=True)
class Origin:
    """Who asked for a deployment, from which address, and when."""

    caller_id: str
    caller_name: str
    client: str | None
    began: datetime


def is_lost(row: Any) -> bool:
    """Tell whether a deployment came to nothing because its process died before anything was stored."""
    return row.state == FAILED and any(error["kind"] == LOST for error in row.errors)


def begin(
    session: Session, deployment_id: str, order: Order, origin: Origin, before: Content | None, **options: Any
) -> None:
    """Note what is going to happen, before any file is touched; ``options`` are what its followers need to know."""
    former = current(session, order.place)
    known = former is not None and before is not None and former.sha256 == before.sha256
    now = datetime.now(timezone.utc)
    values = {
        "id": deployment_id,
        "state": CHECKED,
        "place": order.place.key,
        "bundle_name": order.place.bundle_name,
        "path": order.place.path,
        "kind": order.kind,
        "number": deployed_paths.next_number(session, order.place),
        "sha256": order.content.sha256 if order.content else None,
        "previous_sha256": before.sha256 if before else None,
        "size": order.content.size if order.content else 0,
        "content": kept(order.content),
        "before_kind": before.kind if before else None,
        # What the last deployment has put there is kept already; what anybody else has, is not.
        "before": None if known else kept(before),
        "dag_ids": sorted(order.dags),
        "message": order.message,
        "caller_id": origin.caller_id,
        "caller_name": origin.caller_name,
        "client": origin.client,
        "options": {
            "keep_on_error": order.keep_on_error,
            "pause": order.pause,
            "unpause": order.unpause,
            "dags": dict(order.dags),
            "warnings": list(order.warnings),
            **options,
        },
        "steps": [step(CHECKED, origin.began, now)],
        "errors": [],
        "dag_versions": [],
        "previous_id": former.id if former else None,
        "rollback_of": order.rollback_of,
        "created_at": origin.began,
    }
    session.execute(insert(table).values(values))
    named = [{"deployment_id": deployment_id, "dag_id": one} for one in {*order.dags, *options["replaced"]}]
    if named:
        session.execute(insert(deployment_dag), named)


def current(session: Session, place: Place) -> Any:
    """Return the row of the deployment whose content is at a place, None where nothing is deployed."""
    statement = select(*NARROW).join(deployed_path, deployed_path.c.current == table.c.id)
    return session.execute(statement.where(deployed_path.c.place == place.key)).one_or_none()


def step(state: str, since: datetime, at: datetime) -> Entry:
    """Return a step as it is kept: the state, when it was reached, and the seconds since the step before."""
    moment = at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return {"state": state, "at": moment, "seconds": round(max((at - since).total_seconds(), 0.0), 3)}


def steps_after(row: Any, states: Sequence[str], now: datetime) -> list[Entry]:
    """Return the steps of a deployment that has reached further states at this moment."""
    since = datetime.fromisoformat(row.steps[-1]["at"].replace("Z", "+00:00"))
    further = [step(state, since if number == 0 else now, now) for number, state in enumerate(states)]
    return [*row.steps, *further]


def advance(session: Session, row: Any, *states: str, **values: Any) -> bool:
    """Move a deployment on from the state in which it was read; tell whether nobody else did before."""
    now = datetime.now(timezone.utc)
    ended = {"ended_at": now} if states[-1] in TERMINAL and row.ended_at is None else {}
    unchanged = (table.c.id == row.id, table.c.state == row.state)
    reached = {"state": states[-1], "steps": steps_after(row, states, now), **ended, **values}
    result: Any = session.execute(update(table).where(*unchanged).values(**reached))
    return bool(result.rowcount == 1)


def read(session: Session, deployment_id: str) -> Any:
    """Return the row of a deployment without its contents, None where there is none."""
    return session.execute(select(*NARROW).where(table.c.id == deployment_id)).one_or_none()


def unfinished(session: Session) -> Sequence[Any]:
    """Return the rows of all deployments that have not come to an end."""
    statement = select(*NARROW).where(table.c.state.in_(UNFINISHED)).order_by(table.c.created_at)
    return session.execute(statement).all()


def place_of(row: Any) -> Place:
    """Return where a deployment goes."""
    return Place(row.bundle_name, row.path)


def kept(content: Content | None) -> bytes | None:
    """Return a content as it is kept."""
    return None if content is None else zlib.compress(content.data)


def content_of(session: Session, deployment_id: str) -> Content | None:
    """Return what a deployment has put at its place; None for nothing, and when it is not kept any more."""
    row = session.execute(
        select(table.c.kind, table.c.sha256, table.c.content).where(table.c.id == deployment_id)
    ).one_or_none()
    return None if row is None else _restored(row.kind, row.sha256, row.content)


def before_of(session: Session, row: Any) -> Content | None:
    """Return what a deployment has found at its place; None for nothing, and when it is not kept any more."""
    if row.previous_sha256 is None:
        return None
    foreign = session.scalar(select(table.c.before).where(table.c.id == row.id))
    if foreign is not None:
        return _restored(row.before_kind, row.previous_sha256, foreign)
    return content_of(session, row.previous_id) if row.previous_id else None


def _restored(kind: str, sha256: str | None, data: bytes | None) -> Content | None:
    if data is None or sha256 is None:
        return None
    return Content(kind, sha256, zlib.decompress(data))


def forget_old_contents(session: Session, row: Any) -> None:
    """Drop the contents of all but the newest deployments of a place, and of those that may come back."""
    wanted = [one for one in (row.id, row.previous_id) if one]
    old = (table.c.place == row.place, table.c.number <= row.number - KEPT, table.c.id.not_in(wanted))
    session.execute(update(table).where(*old).values(content=None, before=None))


def error(path: str | None, kind: str, message: str) -> Entry:
    """Return a fault as a deployment tells it, and `validate_dag` does."""
    return {"path": path, "line": None, "kind": kind, "message": stack_traces.bounded(message)}


def line_of(fault: Mapping[str, Any], most: int) -> str:
    """Return the message of an error in one line of at most so many characters, or its kind if it has none."""
    return stack_traces.one_line(fault["message"], most) or str(fault["kind"])


def entry(row: Any, *, is_current: bool) -> Entry:
    """Return a deployment as it is told."""
    return {
        "deployment_id": row.id,
        "state": row.state,
        "bundle_name": row.bundle_name,
        "path": row.path,
        "kind": row.kind,
        "number": row.number,
        "sha256": row.sha256,
        "previous_sha256": row.previous_sha256,
        "size": row.size,
        "dag_ids": row.dag_ids,
        "message": row.message,
        "deployed_by": row.caller_name,
        "client": row.client,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "steps": row.steps,
        "dag_versions": row.dag_versions,
        "errors": row.errors,
        "warnings": row.options.get("warnings", []),
        "reference": row.reference,
        "previous_deployment_id": row.previous_id,
        "rollback_of": row.rollback_of,
        "rolled_back_by": row.rolled_back_by,
        "superseded_by": row.options.get(SUPERSEDED_BY),
        "is_current": is_current,
    }
