"""ImportError: the operations of `openapi/paths/import_error.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import import_error as service
from airflow_rest_api.services.caller import Caller

Json = dict[str, Any]


def get_import_errors(caller: Caller, **query: Any) -> Json:
    """List the import errors."""
    return service.get_import_errors(query=query, caller=caller)


def get_import_error(import_error_id: int, caller: Caller) -> Json:
    """Get an import error."""
    return service.get_import_error(import_error_id, caller=caller)
