"""Connection: the operations of `openapi/paths/connection.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import connection as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.connections import connection_testing
from airflow_rest_api.services.exchange import connection_exchange, left_out
from airflow_rest_api.services.states import Noted, Precondition, Stated
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def get_connections(caller: Caller, **query: Any) -> Json:
    """List connections."""
    return service.get_connections(query=query, caller=caller)


def post_connection(body: Json) -> Stated:
    """Create a connection."""
    return service.post_connection(body=body)


def bulk_connections(body: Json, caller: Caller) -> Json:
    """Create, change or delete many connections."""
    return service.bulk_connections(body=body, caller=caller)


def get_connection(connection_id: str) -> Stated:
    """Get a connection."""
    return service.get_connection(connection_id)


def patch_connection(
    connection_id: str, body: Json, precondition: Precondition, update_mask: list[str] | None = None
) -> Stated:
    """Change a connection."""
    return service.patch_connection(connection_id, body=body, mask=update_mask, precondition=precondition)


def put_connection(connection_id: str, body: Json, precondition: Precondition, caller: Caller) -> Stated:
    """Create or replace a connection."""
    return service.put_connection(connection_id, body=body, precondition=precondition, caller=caller)


def delete_connection(connection_id: str, precondition: Precondition) -> None:
    """Delete a connection."""
    service.delete_connection(connection_id, precondition=precondition)


def reveal_connection(connection_id: str, body: Json) -> Json:
    """Answer a connection in clear."""
    # The reason is for the audit, which has read it by now.
    del body
    return service.reveal_connection(connection_id)


def test_connection(body: Json, caller: Caller, sandbox: Any, settings: Settings) -> Json:
    """Test a connection."""
    allowed = settings.test_connection_allowed_hosts
    return connection_testing.test_connection(body, caller=caller, sandbox=sandbox, allowed=allowed)


def export_connections(caller: Caller, **query: Any) -> str | Noted:
    """Export connections."""
    return left_out.noted(connection_exchange.export_connections(query, caller=caller))


def import_connections(body: Json, caller: Caller, **query: Any) -> Json:
    """Import connections."""
    return connection_exchange.import_connections(query, upload=body["file"], caller=caller)
