"""Monitor: is Airflow alive, is this service ready, and what can it do."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from typing import Any

from airflow import __version__ as airflow_version
from airflow.configuration import conf
from airflow.jobs.job import Job, JobState, health_check_threshold
from airflow.utils.platform import get_airflow_git_version
from sqlalchemy import case, literal, select, union_all
from sqlalchemy.orm import Session

from airflow_rest_api import __version__
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading
from airflow_rest_api.settings import Settings

_HEALTHY, _UNHEALTHY = "healthy", "unhealthy"
# The part of the answer, and the kind of job that it tells about.
_JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag_processor": "DagProcessorJob"}


@cache
def get_version() -> dict[str, Any]:
    """Return Airflow's version."""
    return {"version": airflow_version, "git_version": get_airflow_git_version()}


def get_health() -> dict[str, Any]:
    """Return the health of the metadata database and of the youngest job of each kind.

    A component without any job has the status null, a scheduler `unhealthy`; as Airflow's `/api/v2` has it.
    """
    try:
        with reading() as session:
            jobs = _youngest_jobs(session)
    except errors.DatabaseUnavailable:
        return _health(_UNHEALTHY, {})
    return _health(_HEALTHY, jobs)


def _youngest_jobs(session: Session) -> dict[str, tuple[str | None, datetime | None]]:
    return {kind: (state, heartbeat) for kind, state, heartbeat in session.execute(_YOUNGEST)}


def _youngest(kind: str) -> Any:
    running_first = case((Job.state == JobState.RUNNING, 0), else_=1)
    return (
        select(literal(kind).label("kind"), Job.state, Job.latest_heartbeat)
        .where(Job.job_type == kind)
        .order_by(running_first, Job.latest_heartbeat.desc())
        .limit(1)
    )


# Made once: it costs more to put together than to run.
_YOUNGEST = union_all(*(select(_youngest(kind).subquery()) for kind in _JOBS.values()))


def _health(database: str, jobs: dict[str, tuple[str | None, datetime | None]]) -> dict[str, Any]:
    parts = {name: _job_health(name, kind, jobs, database) for name, kind in _JOBS.items()}
    return {"metadatabase": {"status": database}, **parts}


def _job_health(
    name: str, kind: str, jobs: dict[str, tuple[str | None, datetime | None]], database: str
) -> dict[str, Any]:
    state, heartbeat = jobs.get(kind, (None, None))
    absent = _UNHEALTHY if name == "scheduler" or database == _UNHEALTHY else None
    status = absent if kind not in jobs else _HEALTHY if _is_alive(kind, state, heartbeat) else _UNHEALTHY
    return {"status": status, f"latest_{name}_heartbeat": heartbeat.isoformat() if heartbeat else None}


def _is_alive(kind: str, state: str | None, heartbeat: datetime | None) -> bool:
    if state != JobState.RUNNING or heartbeat is None:
        return False
    threshold = health_check_threshold(kind, conf.getint("scheduler", "job_heartbeat_sec"))
    return (datetime.now(timezone.utc) - heartbeat).total_seconds() < threshold


def get_liveness() -> dict[str, str]:
    """Tell that this process answers; nothing is asked of anybody."""
    return {"status": "alive"}


def get_readiness() -> dict[str, str]:
    """Tell that this process can work: the metadata database answers. Raises `DatabaseUnavailable`."""
    with reading() as session:
        session.execute(select(literal(1)))
    return {"status": "ready"}


def get_capabilities(settings: Settings) -> dict[str, Any]:
    """Return what this installation offers: versions, switches and limits."""
    return {
        "version": __version__,
        "airflow_version": airflow_version,
        "auth_manager": conf.get("core", "auth_manager").rpartition(".")[2],
        "executor": conf.get("core", "executor"),
        "deploy_enabled": settings.deploy_enabled,
        "test_enabled": settings.test_enabled,
        "upload_roots": sorted(settings.upload_roots),
        "components_enabled": sorted(settings.components_enabled),
        "legacy_enabled": settings.legacy_enabled,
        "legacy_dialect": settings.legacy_dialect,
        "max_body_kib": settings.max_body_kib,
        "max_dag_file_kib": settings.max_dag_file_kib,
        "max_upload_mib": settings.max_upload_mib,
        "maximum_page_limit": conf.getint("api", "maximum_page_limit"),
    }
