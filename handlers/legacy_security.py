"""LegacySecurity: the operations of `openapi/paths/legacy_security.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy import login_errors
from airflow_rest_api.security.sessions import Sessions


def login(body: dict[str, Any], client: str, sessions: Sessions) -> dict[str, str]:
    """Log in at the old address."""
    login_errors.require_known(body["provider"])
    refresh = body.get("refresh", False)
    return sessions.login(
        body["username"], body["password"], body["provider"], refresh=refresh, client=client
    )


def refresh(bearer: str | None, sessions: Sessions) -> dict[str, str]:
    """Renew the access token at the old address."""
    return sessions.renew(bearer)
