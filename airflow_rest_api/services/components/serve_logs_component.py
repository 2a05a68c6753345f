"""Serve-logs component: serves the logs of the tasks that ran on this host."""

from __future__ import annotations

from airflow_rest_api.services.components.recipe import Recipe


def _missing() -> str:
    return "This release cannot start it."


SERVE_LOGS = Recipe(
    "serve-logs", "Serves the logs of tasks that ran on this host", (), {}, lambda *_: False, _missing
)
