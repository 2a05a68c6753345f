"""Operations: work that outlives its request, as the callers who began it see it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.storage.tables import operation as table

Entry = dict[str, Any]

QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"
CANCELLED, LOST = "cancelled", "lost"
UNFINISHED = (QUEUED, RUNNING)
_FIELDS = (
    "id",
    "kind",
    "caller_name",
    "created_at",
    "started_at",
    "ended_at",
    "is_cancelled",
    "done",
    "total",
    "items",
    "result",
    "error",
    "log",
    "expires_at",
)
_SORTING = ordering.Sorting(
    {**{name: table.c[name] for name in ("created_at", "started_at", "ended_at")}, "operation": table.c.kind},
    primary_key=("operation_id", table.c.id),
)


class OperationNotFound(errors.NotFound):
    """The caller has begun no such operation, or it is forgotten by now."""

    title = "Operation not found"

    def __init__(self, operation_id: str) -> None:
        super().__init__(f"The operation '{operation_id}' was not found.", operation_id=operation_id)


class OperationEnded(errors.Conflict):
    """The operation has ended, so there is nothing to cancel."""

    title = "The operation has ended"

    def __init__(self, operation_id: str, state: str) -> None:
        super().__init__(
            f"The operation '{operation_id}' has ended as '{state}'.", operation_id=operation_id, state=state
        )


def state_now() -> Any:
    """Return the expression for an operation's state: work whose lease ran out is lost, whoever notices first."""
    overdue = and_(
        table.c.state.in_(UNFINISHED),
        table.c.leased_until < datetime.now(timezone.utc),
        table.c.is_safe.is_(False),
    )
    return case((overdue, LOST), else_=table.c.state)


def get_operations(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the caller's operations, without their items and logs."""
    keys = _SORTING.keys(query["order_by"])
    limit = listing.page_limit(query["limit"])
    conditions = [table.c.caller_id == caller.id]
    if query["state"]:
        conditions.append(state_now().in_(query["state"]))
    if query["operation"]:
        conditions.append(table.c.kind == query["operation"])
    with reading() as session:
        statement = ordering.ordered(_selected(conditions), keys).limit(limit).offset(query["offset"])
        rows = session.execute(statement).all()
        every = select(table.c.id).where(*conditions)
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=query["offset"])
    return {"operations": [_listed(row) for row in rows], "total_entries": total}


def get_operation(operation_id: str, *, caller: Caller) -> Entry:
    """Return one of the caller's operations with its items and the last lines of its log.

    Raises `OperationNotFound`, for those of others as well.
    """
    with reading() as session:
        return _entry(_own(session, operation_id, caller))


def cancel_operation(operation_id: str, *, caller: Caller) -> Entry:
    """Ask an operation to stop after the item that it works on; what is done stays done.

    Raises `OperationNotFound` and `OperationEnded`.
    """

    def work(session: Session) -> Entry:
        mine = (table.c.id == operation_id, table.c.caller_id == caller.id)
        session.execute(update(table).where(*mine, table.c.state.in_(UNFINISHED)).values(is_cancelled=True))
        row = _own(session, operation_id, caller)
        if row.state not in UNFINISHED:
            raise OperationEnded(operation_id, row.state)
        return retries.done(session, _entry(row))

    return write(work)


def get(session: Session, operation_id: str) -> Entry:
    """Return an operation as its caller sees it, whoever that is."""
    return _entry(session.execute(_selected([table.c.id == operation_id])).one())


def unfinished(session: Session, kind: str, caller: Caller) -> str | None:
    """Return the id of an operation of this kind that the caller has begun and that goes on."""
    mine = (table.c.kind == kind, table.c.caller_id == caller.id, state_now().in_(UNFINISHED))
    return session.scalar(select(table.c.id).where(*mine).limit(1))


def count_unfinished(session: Session, kind: str, caller: Caller) -> int:
    """Return how many operations of this kind the caller has begun that go on."""
    mine = (table.c.kind == kind, table.c.caller_id == caller.id, state_now().in_(UNFINISHED))
    return session.scalar(select(func.count()).select_from(table).where(*mine)) or 0


def of_dry_run(entry: Entry) -> Entry:
    """Return what is answered to a dry run, for the operation that it would have begun."""
    now = datetime.now(timezone.utc)
    return {**entry, "operation_id": None, "state": SUCCEEDED, "started_at": now, "ended_at": now}


def _own(session: Session, operation_id: str, caller: Caller) -> Any:
    mine = (table.c.id == operation_id, table.c.caller_id == caller.id)
    row = session.execute(_selected(mine)).one_or_none()
    if row is None:
        raise OperationNotFound(operation_id)
    return row


def _selected(conditions: Any) -> Any:
    return select(state_now().label("state"), *(table.c[name] for name in _FIELDS)).where(*conditions)


def _listed(row: Any) -> Entry:
    return {**_entry(row), "items": [], "log": ""}


def _entry(row: Any) -> Entry:
    return {
        "operation_id": row.id,
        "operation": row.kind,
        "state": row.state,
        "requested_by": row.caller_name,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "cancel_requested": row.is_cancelled,
        "progress": {"done": row.done, "total": row.total},
        "items": row.items,
        "result": row.result,
        "error": _error(row),
        "log": row.log,
        "expires_at": row.expires_at,
    }


def _error(row: Any) -> str | None:
    if row.state == LOST and row.error is None:
        return "The process that carried it out has not been heard of; what was done so far is in the items."
    error: str | None = row.error
    return error
