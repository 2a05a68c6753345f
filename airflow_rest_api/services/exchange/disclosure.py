"""Disclosure: exports with the secrets in them, for those to whom an administrator grants it."""

from __future__ import annotations

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller


class ReasonMissing(errors.Malformed):
    """Secrets are asked for without saying why."""

    title = "A reason is needed"

    def __init__(self) -> None:
        super().__init__("With `include_secrets` a `reason` has to be sent, for the audit log.")


def require(caller: Caller, reason: str | None) -> None:
    """Raise `Denied` unless the caller may have secrets here, and `ReasonMissing` unless a reason is told."""
    caller.permissions.require_switch("reveal_enabled")
    caller.permissions.require_power("reveal")
    if not (reason or "").strip():
        raise ReasonMissing
