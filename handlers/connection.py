"""Connection: the operations of `openapi/paths/connection.yaml`, and its export and import (`exchange.yaml`)."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import connection_exchange

Json = dict[str, Any]


def export_connections(caller: Caller, **query: Any) -> str:
    """Export connections."""
    return connection_exchange.export_connections(query, caller=caller)


def import_connections(body: Json, caller: Caller, **query: Any) -> Json:
    """Import connections."""
    return connection_exchange.import_connections(query, upload=body["file"], caller=caller)
