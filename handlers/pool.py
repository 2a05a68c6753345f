"""Pool: the operations of `openapi/paths/pool.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import pool as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import pool_exchange
from airflow_rest_api.services.states import Precondition, Stated

Json = dict[str, Any]


def get_pools(caller: Caller, **query: Any) -> Json:
    """List pools."""
    return service.get_pools(query=query, caller=caller)


def post_pool(body: Json) -> Stated:
    """Create a pool."""
    return service.post_pool(body=body)


def bulk_pools(body: Json, caller: Caller) -> Json:
    """Create, change or delete many pools."""
    return service.bulk_pools(body=body, caller=caller)


def get_pool(pool_name: str) -> Stated:
    """Get a pool."""
    return service.get_pool(pool_name)


def patch_pool(
    pool_name: str, update_mask: list[str] | None, body: Json, precondition: Precondition
) -> Stated:
    """Change a pool."""
    return service.patch_pool(pool_name, body=body, mask=update_mask, precondition=precondition)


def put_pool(pool_name: str, body: Json, precondition: Precondition, caller: Caller) -> Stated:
    """Create or replace a pool."""
    return service.put_pool(pool_name, body=body, precondition=precondition, caller=caller)


def delete_pool(pool_name: str, precondition: Precondition) -> None:
    """Delete a pool."""
    service.delete_pool(pool_name, precondition=precondition)


def export_pools(caller: Caller, **query: Any) -> str:
    """Export pools."""
    return pool_exchange.export_pools(query, caller=caller)


def import_pools(body: Json, caller: Caller, **query: Any) -> Json:
    """Import pools."""
    return pool_exchange.import_pools(query, upload=body["file"], caller=caller)
