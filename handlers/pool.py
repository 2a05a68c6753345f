"""Pool: the operations of `openapi/paths/pool.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import pool as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.pools import pool_bulk
from airflow_rest_api.services.states import Precondition, Stated

Json = dict[str, Any]


def get_pools(caller: Caller, **query: Any) -> Json:
    """List pools."""
    return service.get_pools(query=query, caller=caller)


def post_pool(body: Json) -> Json:
    """Create a pool."""
    return service.post_pool(body=body)


def bulk_pools(body: Json, caller: Caller) -> Json:
    """Create, change and delete many pools."""
    return pool_bulk.bulk_pools(body=body, caller=caller)


def get_pool(pool_name: str) -> Stated:
    """Get a pool."""
    return service.get_pool(pool_name)


def patch_pool(
    pool_name: str, body: Json, precondition: Precondition, update_mask: list[str] | None = None
) -> Stated:
    """Change a pool."""
    return service.patch_pool(pool_name, body=body, update_mask=update_mask, precondition=precondition)


def put_pool(pool_name: str, body: Json, precondition: Precondition) -> Stated:
    """Create or replace a pool."""
    return service.put_pool(pool_name, body=body, precondition=precondition)


def delete_pool(pool_name: str, precondition: Precondition) -> None:
    """Delete a pool."""
    service.delete_pool(pool_name, precondition=precondition)
