"""Places: where this service keeps what it starts on this host."""

from __future__ import annotations

from functools import cache

from airflow_rest_api.services import configuration
from airflow_rest_api.supervision.registry import Registry


@cache
def registry() -> Registry:
    """Return the registry of the processes that this service has started on this host."""
    return Registry(configuration.state_folder() / "components")
