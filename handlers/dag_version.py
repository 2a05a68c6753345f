"""DagVersion: the operations of `openapi/paths/dag_version.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import dag_version as service
from airflow_rest_api.services.caller import Caller

Json = dict[str, Any]


def get_dag_versions(dag_id: str, caller: Caller, **query: Any) -> Json:
    """List the versions of a DAG."""
    return service.get_dag_versions(dag_id, query=query, caller=caller)


def get_dag_version(dag_id: str, version_number: int) -> Json:
    """Get a version of a DAG."""
    return service.get_dag_version(dag_id, version_number)
