"""Operation: the operations of `openapi/paths/operation.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import operation as service
from airflow_rest_api.services.caller import Caller

Json = dict[str, Any]


def get_operations(caller: Caller, **query: Any) -> Json:
    """List operations."""
    return service.get_operations(query=query, caller=caller)


def get_operation(operation_id: str, caller: Caller) -> Json:
    """Get an operation."""
    return service.get_operation(operation_id, caller=caller)


def cancel_operation(operation_id: str, caller: Caller) -> Json:
    """Cancel an operation."""
    return service.cancel_operation(operation_id, caller=caller)
