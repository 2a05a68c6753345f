"""Resources: what the handlers of one application share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.security.audit import Audit
from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.security.reviews import Reviews
from airflow_rest_api.security.sessions import Sessions
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.settings import Settings
from airflow_rest_api.web.idempotency import Idempotency
from airflow_rest_api.web.metrics import Metrics


@dataclass(frozen=True)
class Resources:
    """What the handlers of one application may ask for by name, beside what the contract passes."""

    settings: Settings
    sessions: Sessions
    reviews: Reviews
    metrics: Metrics
    audit: Audit
    idempotency: Idempotency
    state_hash: Callable[[str], str]
    background: Background
    following: Following
    sandbox: Any
    redactor: Redactor

    def by_name(self) -> dict[str, Any]:
        """Return the resources by the names under which handlers ask for them."""
        names = ("settings", "sessions", "reviews", "metrics", "background", "following", "sandbox")
        return {name: getattr(self, name) for name in names}
