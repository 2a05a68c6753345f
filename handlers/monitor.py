"""Monitor: the operations of `openapi/paths/monitor.yaml`."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_rest_api.services import monitor as service
from airflow_rest_api.settings import Settings


class Metrics(Protocol):
    """What the application counted."""

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""


def get_version() -> dict[str, Any]:
    """Get Airflow's version."""
    return service.get_version()


def get_health() -> dict[str, Any]:
    """Get the health of Airflow's components."""
    return service.get_health()


def get_liveness() -> dict[str, str]:
    """Tell whether this process answers."""
    return service.get_liveness()


def get_readiness() -> dict[str, str]:
    """Tell whether this service can work."""
    return service.get_readiness()


def get_capabilities(settings: Settings, sandbox: Any) -> dict[str, Any]:
    """List what this installation offers."""
    return service.get_capabilities(settings, sandbox)


def get_metrics(metrics: Metrics) -> str:
    """Get this process' metrics."""
    return metrics.text()
