"""Variable: the operations of `openapi/paths/variable.yaml`, and its export and import (`exchange.yaml`)."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import variable_exchange

Json = dict[str, Any]


def export_variables(caller: Caller, **query: Any) -> str:
    """Export variables."""
    return variable_exchange.export_variables(query, caller=caller)


def import_variables(body: Json, caller: Caller, **query: Any) -> Json:
    """Import variables."""
    return variable_exchange.import_variables(query, upload=body["file"], caller=caller)
