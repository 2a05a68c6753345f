"""CeleryWorker: the operations of `openapi/paths/celery_worker.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import celery_worker as service
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def get_celery_workers() -> Json:
    """List the workers of Celery."""
    return service.get_celery_workers()


def shut_down_celery_worker(worker_name: str, settings: Settings) -> Json:
    """Shut down a worker of Celery."""
    return service.shut_down_celery_worker(worker_name, settings=settings)


def add_celery_queue(worker_name: str, queue_name: str, settings: Settings) -> Json:
    """Let a worker of Celery take tasks from a queue."""
    return service.add_celery_queue(worker_name, queue_name, settings=settings)


def remove_celery_queue(worker_name: str, queue_name: str, settings: Settings) -> None:
    """Let a worker of Celery take no more tasks from a queue."""
    service.remove_celery_queue(worker_name, queue_name, settings=settings)
