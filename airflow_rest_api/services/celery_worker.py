"""CeleryWorker: the workers of Celery, wherever they run: who answers, what each does, and what each is told."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.components import celery_rows, permits
from airflow_rest_api.services.components.celery_components import WORKER
from airflow_rest_api.services.components.celery_control import Control, opened
from airflow_rest_api.services.database import write
from airflow_rest_api.settings import Settings

Entry = dict[str, Any]


class CeleryWorkerNotFound(errors.NotFound):
    """No worker of this name answers."""

    title = "Celery worker not found"

    def __init__(self, worker_name: str) -> None:
        super().__init__(
            f"No Celery worker '{worker_name}' answers; get_celery_workers tells those that do.",
            worker_name=worker_name,
        )


class CeleryQueueNotFound(errors.NotFound):
    """The worker takes no tasks from this queue."""

    title = "Celery queue not found"

    def __init__(self, worker_name: str, queue_name: str) -> None:
        super().__init__(
            f"The Celery worker '{worker_name}' takes no tasks from the queue '{queue_name}'.",
            worker_name=worker_name,
            queue_name=queue_name,
        )


class CeleryWorkerUnwilling(errors.Unprocessable):
    """The worker has answered that it cannot do so."""

    title = "The Celery worker did not do it"

    def __init__(self, worker_name: str, queue_name: str) -> None:
        super().__init__(
            f"The Celery worker '{worker_name}' could not change what it does with the queue '{queue_name}';"
            " its log tells more.",
            worker_name=worker_name,
            queue_name=queue_name,
        )


def get_celery_workers() -> Entry:
    """List the workers that answer. Raises `CeleryNotConfigured` and `BrokerUnavailable`."""
    with opened() as control:
        found = celery_rows.of_all(control)
    return {"workers": found, "total_entries": len(found)}


def shut_down_celery_worker(worker_name: str, *, settings: Settings) -> Entry:
    """Tell a worker to end when its tasks have; return how it was.

    Raises `ComponentNotEnabled`, `CeleryNotConfigured`, `BrokerUnavailable` and `CeleryWorkerNotFound`.
    """
    permits.require_enabled(WORKER, settings)
    with opened() as control:
        found = _row(control, worker_name)
        control.tell(worker_name, "shutdown")
    return write(lambda session: retries.done(session, found))


def add_celery_queue(worker_name: str, queue_name: str, *, settings: Settings) -> Entry:
    """Let a worker take tasks from a queue, too; return how it is then.

    Raises `ComponentNotEnabled`, `CeleryNotConfigured`, `BrokerUnavailable`, `CeleryWorkerNotFound` and
    `CeleryWorkerUnwilling`.
    """
    permits.require_enabled(WORKER, settings)
    with opened() as control:
        if queue_name not in _queues(control, worker_name):
            _change(control, worker_name, queue_name, "add_consumer", exchange_type="direct")
        return _row(control, worker_name)


def remove_celery_queue(worker_name: str, queue_name: str, *, settings: Settings) -> None:
    """Let a worker take no more tasks from a queue.

    Raises `ComponentNotEnabled`, `CeleryNotConfigured`, `BrokerUnavailable`, `CeleryWorkerNotFound`,
    `CeleryQueueNotFound` and `CeleryWorkerUnwilling`.
    """
    permits.require_enabled(WORKER, settings)
    with opened() as control:
        if queue_name not in _queues(control, worker_name):
            raise CeleryQueueNotFound(worker_name, queue_name)
        _change(control, worker_name, queue_name, "cancel_consumer")


def _change(control: Control, worker_name: str, queue_name: str, command: str, **arguments: str) -> None:
    answers = control.ask(worker_name, command, queue=queue_name, **arguments)
    if not answers:
        raise CeleryWorkerNotFound(worker_name)
    if not all(isinstance(said, dict) and "ok" in said for _, said in answers):
        raise CeleryWorkerUnwilling(worker_name, queue_name)


def _row(control: Control, worker_name: str) -> Entry:
    """Return what is told of a worker. Raises `CeleryWorkerNotFound`."""
    if (found := celery_rows.of_one(control, worker_name)) is None:
        raise CeleryWorkerNotFound(worker_name)
    return found


def _queues(control: Control, worker_name: str) -> list[str]:
    """Return the queues of a worker. Raises `CeleryWorkerNotFound`."""
    if (found := celery_rows.queues(control, worker_name)) is None:
        raise CeleryWorkerNotFound(worker_name)
    return found
