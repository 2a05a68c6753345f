"""Legacy: the operations of `openapi/paths/legacy.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy import envelope
from airflow_rest_api.services import monitor


def version() -> dict[str, Any]:
    """Get Airflow's version."""
    return envelope.ok("version", monitor.get_version()["version"])
