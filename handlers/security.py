"""Security: the operations of `openapi/paths/security.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.security.reviews import Reviews
from airflow_rest_api.security.sessions import Sessions
from airflow_rest_api.services.caller import Caller


def login(body: dict[str, Any], client: str, sessions: Sessions) -> dict[str, str]:
    """Log in with a username and a password."""
    provider, refresh = body.get("provider", "db"), body.get("refresh", False)
    return sessions.login(body["username"], body["password"], provider, refresh=refresh, client=client)


def refresh_token(body: dict[str, Any], bearer: str | None, sessions: Sessions) -> dict[str, str]:
    """Renew both tokens."""
    return sessions.refresh(bearer, body)


def logout(caller: Caller, sessions: Sessions) -> None:
    """Log out."""
    sessions.logout(caller)


def get_current_user(caller: Caller, reviews: Reviews) -> dict[str, Any]:
    """Tell who is calling."""
    return reviews.current_user(caller)


def review_access(body: dict[str, Any], caller: Caller, reviews: Reviews) -> dict[str, Any]:
    """Review what the caller may do."""
    return reviews.review(caller, body.get("reviews"))
