"""Deployment: the operations of `openapi/paths/deployment.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import deployment as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.deployments import validation
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.states import Precondition
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def deploy_dag(
    *,
    body: Json,
    caller: Caller,
    client: str,
    precondition: Precondition,
    following: Following,
    sandbox: Any,
    settings: Settings,
) -> Json:
    """Deploy a DAG."""
    who, workshop = service.Client(caller, client), service.Workshop(sandbox, settings.max_archive_kib)
    return service.deploy_dag(
        body, client=who, precondition=precondition, following=following, workshop=workshop
    )


def get_deployments(caller: Caller, **query: Any) -> Json:
    """List deployments."""
    return service.get_deployments(query=query, caller=caller)


def validate_dag(body: Json, caller: Caller, sandbox: Any, settings: Settings) -> Json:
    """Check a DAG file without storing it."""
    return validation.validate_dag(
        body, caller=caller, sandbox=sandbox, max_archive_kib=settings.max_archive_kib
    )


def get_deployment(deployment_id: str, caller: Caller) -> Json:
    """Get a deployment."""
    return service.get_deployment(deployment_id, caller=caller)


def rollback_deployment(
    deployment_id: str, body: Json, caller: Caller, client: str, following: Following
) -> Json:
    """Undo a deployment."""
    who = service.Client(caller, client)
    return service.rollback_deployment(
        deployment_id, message=body.get("message"), client=who, following=following
    )
