"""Celery rows: what is told of Celery's workers, made of what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_rest_api.services.components.celery_control import Answer, Control

Entry = dict[str, Any]

# What is asked of every worker beside `stats`, and the field of ours for how many there are.
_COUNTED = {"active": "active_tasks", "reserved": "reserved_tasks", "scheduled": "scheduled_tasks"}
_QUEUES = "active_queues"


def of_all(control: Control) -> list[Entry]:
    """Return what is told of all workers that answer, by their names."""
    found = control.ask_all("stats")
    return _rows(found, lambda command: control.ask_all(command, expected=len(found))) if found else []


def of_one(control: Control, worker_name: str) -> Entry | None:
    """Return what is told of one worker, None where it does not answer."""
    found = _rows(control.ask(worker_name, "stats"), lambda command: control.ask(worker_name, command))
    return found[0] if found else None


def queues(control: Control, worker_name: str) -> list[str] | None:
    """Return the names of the queues from which a worker takes tasks, None where it does not answer."""
    answers = control.ask(worker_name, _QUEUES)
    return _queue_names(answers[0].said) if answers else None


def _rows(stats: list[Answer], ask: Callable[[str], list[Answer]]) -> list[Entry]:
    if not stats:
        return []
    lists = {command: dict(ask(command)) for command in (_QUEUES, *_COUNTED)}
    return [_row(answer, lists) for answer in sorted(stats, key=lambda answer: answer.worker_name)]


def _row(answer: Answer, lists: dict[str, dict[str, Any]]) -> Entry:
    name, said = answer.worker_name, _members(answer.said)
    return {
        "worker_name": name,
        "hostname": name.partition("@")[2] or name,
        "pid": _number(said.get("pid")),
        "uptime_seconds": _number(said.get("uptime")),
        "pool_size": _number(_members(said.get("pool")).get("max-concurrency")),
        "queues": _queue_names(lists[_QUEUES].get(name)),
        **{field: _length(lists[command].get(name)) for command, field in _COUNTED.items()},
        # By the names of Celery's tasks, of which Airflow has few.
        "received_tasks": sum(_number(count) or 0 for count in _members(said.get("total")).values()),
    }


def _members(said: Any) -> Entry:
    return said if isinstance(said, dict) else {}


def _queue_names(said: Any) -> list[str]:
    entries = said if isinstance(said, list) else []
    return sorted(str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name"))


def _length(said: Any) -> int | None:
    """Return how many there are, None where the worker has not answered in time."""
    return len(said) if isinstance(said, list) else None


def _number(said: Any) -> int | None:
    return said if isinstance(said, int) else None
