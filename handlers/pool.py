"""Pool: the operations of `openapi/paths/pool.yaml`, and its export and import (`exchange.yaml`)."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import pool_exchange

Json = dict[str, Any]


def export_pools(caller: Caller, **query: Any) -> str:
    """Export pools."""
    return pool_exchange.export_pools(query, caller=caller)


def import_pools(body: Json, caller: Caller, **query: Any) -> Json:
    """Import pools."""
    return pool_exchange.import_pools(query, upload=body["file"], caller=caller)
