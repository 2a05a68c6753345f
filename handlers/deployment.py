"""Deployment: the operations of `openapi/paths/deployment.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import deployment as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.deployment_following import Following

Json = dict[str, Any]


def get_deployments(caller: Caller, **query: Any) -> Json:
    """List deployments."""
    return service.get_deployments(query=query, caller=caller)


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
