"""LegacySecurity: the operations of `openapi/paths/legacy_security.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy import login_errors
from airflow_rest_api.security.sessions import Sessions


def login(body: dict[str, Any], client: str, sessions: Sessions) -> dict[str, str]:
    """Log in at the old address."""
    # Flask-AppBuilder took every value of `refresh` that Python counts as true.
    provider, refresh = body.get("provider", "db"), bool(body.get("refresh"))
    login_errors.require_known(provider)
    return sessions.login(body["username"], body["password"], provider, refresh=refresh, client=client)


def refresh(bearer: str | None, sessions: Sessions) -> dict[str, str]:
    """Renew the access token at the old address."""
    return sessions.renew(bearer)
