"""Reviews: who is calling, and what the caller may do, told by the checker of real calls without doing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.security import access, auth_manager, powers
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller


class ReviewOfUnknown(errors.Malformed):
    """A review names an operation or a parameter that the contract does not have."""

    title = "The review names something unknown"


@dataclass(frozen=True)
class Reviewable:
    """What a review has to know of an operation: its `x-airflow-access` and the parameters of path and query."""

    operation_id: str
    rules: tuple[access.Rule, ...]
    parameters: frozenset[str]
    path_parameters: frozenset[str]


class Reviews:
    """Answers what callers may do with the operations of the contract."""

    def __init__(self, operations: Iterable[Reviewable]) -> None:
        self._operations = {operation.operation_id: operation for operation in operations}

    def current_user(self, caller: Caller) -> dict[str, Any]:
        """Return who the caller is, by which credential, and what was granted beside Airflow's permissions."""
        credential = caller.credential
        return {
            "user_id": caller.id,
            "username": caller.name,
            "credential": credential.kind if credential else None,
            "credential_name": credential.name if credential else None,
            "expires_at": credential.expires_at if credential else None,
            "auth_manager": auth_manager.name(),
            "roles": auth_manager.roles_of(caller.user),
            "powers": [power for power in powers.RESOURCES if caller.permissions.may_power(power)],
        }

    def review(self, caller: Caller, reviews: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
        """Return for each review whether its call would be permitted; None reviews all operations without an object.

        Raises `ReviewOfUnknown`, and then nothing was asked.
        """
        asked = [{"operation_id": name} for name in self._operations] if reviews is None else list(reviews)
        found = [(self._reviewable(entry), entry) for entry in asked]
        answers = [_answer(operation, entry, caller) for operation, entry in found]
        return {"user": caller.name, "reviews": answers, "total_entries": len(answers)}

    def _reviewable(self, review: Mapping[str, Any]) -> Reviewable:
        name = review["operation_id"]
        operation = self._operations.get(name)
        if operation is None:
            raise ReviewOfUnknown(f"The contract has no operation '{name}'.", operation_id=name)
        for parameter in review.get("arguments", {}):
            if parameter not in operation.parameters:
                raise ReviewOfUnknown(
                    f"The operation '{name}' has no parameter '{parameter[:100]}'.", operation_id=name
                )
        return operation


def _answer(operation: Reviewable, review: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    arguments = review.get("arguments", {})
    reason = _refusal(operation.rules, caller, arguments, review.get("body", {}))
    return {
        "operation_id": operation.operation_id,
        "arguments": arguments,
        "allowed": reason is None,
        "reason": reason,
        "depends_on_object": any(_is_open(rule, operation, review) for rule in operation.rules),
    }


def _refusal(
    rules: Iterable[access.Rule], caller: Caller, arguments: Mapping[str, Any], body: Any
) -> str | None:
    try:
        access.require(rules, caller, arguments, body)
    except errors.Denied as refusal:
        return refusal.detail
    return None


def _is_open(rule: access.Rule, operation: Reviewable, review: Mapping[str, Any]) -> bool:
    """Tell whether the call itself would ask about an object that the review does not name."""
    place, _, name = rule.get("id_from", "").partition(".")
    if place == "path":
        return name in operation.path_parameters - review.get("arguments", {}).keys()
    return place == access.FOUND or (place == "body" and "body" not in review)
