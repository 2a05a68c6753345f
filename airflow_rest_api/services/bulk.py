"""Bulk changes: many changes in one request and one transaction.

What goes wrong with single objects is part of the answer, with the status that the single operation would have
answered: that is how Airflow's bulk operations speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from airflow_rest_api.services import errors

Action = Mapping[str, Any]
Result = dict[str, list[Any]]
Doer = Callable[[Action, Result], None]

_METHODS = {"create": "POST", "update": "PUT", "delete": "DELETE"}


def carried_out(session: Session, actions: Sequence[Action], doers: Mapping[str, Doer]) -> dict[str, Any]:
    """Carry out the actions in their order, each by the doer of its kind, and return what came of each kind."""
    results: dict[str, Result | None] = {"create": None, "update": None, "delete": None}
    for action in actions:
        result = results[action["action"]] or {"success": [], "errors": []}
        results[action["action"]] = result
        doers[action["action"]](action, result)
        session.flush()
    return dict(results)


def methods(action: Action) -> set[str]:
    """Return the methods that a caller needs for an action: whoever may overwrite what exists, changes it."""
    overwrites = action.get("action_on_existence") == "overwrite"
    return {_METHODS[action["action"]], *(["PUT"] if overwrites else [])}


def fails_on_missing(action: Action) -> bool:
    """Tell whether something that is missing stops the action."""
    return bool(action.get("action_on_non_existence", "fail") == "fail")


@contextmanager
def noting(result: Result, name: str) -> Iterator[None]:
    """Change the object with this name inside, and note that it was, or what was said against it."""
    try:
        yield
    except errors.Refusal as refusal:
        refused(result, refusal)
    else:
        result["success"].append(name)


def refused(result: Result, refusal: errors.Refusal) -> None:
    """Note that one object was refused with 400, 404 or 409."""
    kinds = ((errors.Malformed, 400), (errors.NotFound, 404))
    status = next((status for kind, status in kinds if isinstance(refusal, kind)), 409)
    fail(result, status, refusal.detail)


def fail(result: Result, status: int, sentence: str) -> None:
    """Note that something could not be done."""
    result["errors"].append({"error": sentence, "status_code": status})
