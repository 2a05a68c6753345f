"""Celery components: the worker that runs tasks for the Celery executor, and Flower, which looks at workers."""

from __future__ import annotations

from airflow_rest_api.services.components.recipe import Recipe


def _missing() -> str:
    return "This release cannot start it."


WORKER = Recipe("celery-worker", "Runs tasks for the Celery executor", (), {}, lambda *_: False, _missing)
FLOWER = Recipe("celery-flower", "Shows the workers of Celery", (), {}, lambda *_: False, _missing)
