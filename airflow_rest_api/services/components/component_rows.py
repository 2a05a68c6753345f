"""Component rows: what is told of components, of their processes on this host, and of Airflow's jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from airflow.utils.net import get_hostname

from airflow_rest_api.services import jobs
from airflow_rest_api.services.components.recipe import Recipe, shown
from airflow_rest_api.supervision.registry import Supervised

Entry = dict[str, Any]


def component(
    recipe: Recipe, why_not: str | None, processes: Iterable[Supervised], alive: Sequence[jobs.LiveJob]
) -> Entry:
    """Return what is told of a component: whether it may be started, its processes here, its jobs anywhere."""
    return {
        "name": recipe.name,
        "description": f"{recipe.title}.",
        "options": sorted(recipe.options),
        "may_start": why_not is None,
        "why_not": why_not,
        "processes": [process(one) for one in processes if one.component == recipe.name],
        "jobs": [job._asdict() for job in alive if job.job_type == recipe.job_type],
    }


def process(supervised: Supervised) -> Entry:
    """Return what is told of a process that was started here, as plain data; without places on this machine."""
    return {
        "instance": supervised.instance,
        "state": supervised.state,
        "hostname": get_hostname(),
        "pid": supervised.pid,
        "started_at": _told(supervised.started_at),
        "command": shown(supervised.argv),
        "restarts": supervised.restarts,
        "exit_code": supervised.exit_code,
        "log_file": supervised.log_file.name,
        "memory_bytes": supervised.memory_bytes,
        "cpu_percent": supervised.cpu_percent,
        "process_count": supervised.processes,
    }


def _told(at: datetime | None) -> str | None:
    """Return a time as answers have it: an operation keeps no other values than JSON's."""
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
