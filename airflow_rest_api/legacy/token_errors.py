"""Token errors: how Airflow 1's login and the plugins answered a token that is missing or not good."""

from __future__ import annotations

from typing import Any


def of(fault: Exception, authorization: bytes | None) -> tuple[int, dict[str, Any]]:
    """Return status and body for a refusal of who calls."""
    detail = "Missing Authorization Header" if authorization is None else str(fault)
    return 401, {"msg": detail}
