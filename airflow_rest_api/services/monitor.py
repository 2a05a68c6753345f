"""Monitor: is Airflow alive, is this service ready, and what can it do."""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow import __version__ as airflow_version
from airflow.configuration import conf
from airflow.utils.platform import get_airflow_git_version
from sqlalchemy import literal, select

from airflow_rest_api import __version__
from airflow_rest_api.sandbox.box import Sandbox
from airflow_rest_api.services import errors, jobs
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import bundles
from airflow_rest_api.services.jobs import Heartbeat
from airflow_rest_api.settings import Settings

_HEALTHY, _UNHEALTHY = "healthy", "unhealthy"
# The part of the answer, and the kind of job that it tells about.
_JOBS = {
    "scheduler": jobs.SCHEDULER,
    "triggerer": jobs.TRIGGERER,
    "dag_processor": jobs.DAG_PROCESSOR,
}


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
            youngest = jobs.youngest(session)
    except errors.DatabaseUnavailable:
        return _health(_UNHEALTHY, {})
    return _health(_HEALTHY, youngest)


def _health(database: str, youngest: dict[str, Heartbeat]) -> dict[str, Any]:
    parts = {name: _job_health(name, kind, youngest.get(kind), database) for name, kind in _JOBS.items()}
    return {"metadatabase": {"status": database}, **parts}


def _job_health(name: str, kind: str, heartbeat: Heartbeat | None, database: str) -> dict[str, Any]:
    if heartbeat is None:
        status = _UNHEALTHY if name == "scheduler" or database == _UNHEALTHY else None
        return {"status": status, f"latest_{name}_heartbeat": None}
    status = _HEALTHY if jobs.is_alive(kind, heartbeat) else _UNHEALTHY
    at = heartbeat.at.isoformat() if heartbeat.at else None
    return {"status": status, f"latest_{name}_heartbeat": at}


def get_liveness() -> dict[str, str]:
    """Tell that this process answers; nothing is asked of anybody."""
    return {"status": "alive"}


def get_readiness() -> dict[str, str]:
    """Tell that this process can work: the metadata database answers. Raises `DatabaseUnavailable`."""
    with reading() as session:
        session.execute(select(literal(1)))
    return {"status": "ready"}


def get_capabilities(settings: Settings, sandbox: Sandbox) -> dict[str, Any]:
    """Return what this installation offers: versions, switches, bundles and limits."""
    return {
        "version": __version__,
        "airflow_version": airflow_version,
        "auth_manager": conf.get("core", "auth_manager").rpartition(".")[2],
        "executor": conf.get("core", "executor"),
        "deploy_enabled": settings.deploy_enabled,
        "test_enabled": settings.test_enabled,
        "reveal_enabled": settings.reveal_enabled,
        "sandbox": sandbox.strength(),
        "allow_weak_sandbox": settings.allow_weak_sandbox,
        "bundles": [_bundle(bundle) for bundle in bundles.every()],
        "upload_roots": sorted(settings.upload_roots),
        "components_enabled": sorted(settings.components_enabled),
        "legacy_enabled": settings.legacy_enabled,
        "legacy_dialect": settings.legacy_dialect,
        "max_body_kib": settings.max_body_kib,
        "max_dag_file_kib": settings.max_dag_file_kib,
        "max_archive_kib": settings.max_archive_kib,
        "max_upload_mib": settings.max_upload_mib,
        "maximum_page_limit": conf.getint("api", "maximum_page_limit"),
    }


def _bundle(bundle: bundles.Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "kind": bundle.kind,
        "is_writable": bundle.is_writable,
        "why_not": bundle.why_not,
    }
