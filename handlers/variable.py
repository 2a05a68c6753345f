"""Variable: the operations of `openapi/paths/variable.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import variable as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import left_out, variable_exchange
from airflow_rest_api.services.states import Noted, Precondition, Stated
from airflow_rest_api.services.variables import variable_sources

Json = dict[str, Any]


def get_variables(caller: Caller, **query: Any) -> Json:
    """List variables."""
    return service.get_variables(query=query, caller=caller)


def post_variable(body: Json) -> Stated:
    """Create a variable."""
    return service.post_variable(body=body)


def bulk_variables(body: Json, caller: Caller) -> Json:
    """Create, change or delete many variables."""
    return service.bulk_variables(body=body, caller=caller)


def get_variable(variable_key: str, source: str) -> Stated | Json:
    """Get a variable."""
    return variable_sources.get_variable(variable_key, source=source)


def patch_variable(
    variable_key: str, update_mask: list[str] | None, body: Json, precondition: Precondition
) -> Stated:
    """Change a variable."""
    return service.patch_variable(variable_key, body=body, mask=update_mask, precondition=precondition)


def put_variable(variable_key: str, body: Json, precondition: Precondition, caller: Caller) -> Stated:
    """Create or replace a variable."""
    return service.put_variable(variable_key, body=body, precondition=precondition, caller=caller)


def delete_variable(variable_key: str, precondition: Precondition) -> None:
    """Delete a variable."""
    service.delete_variable(variable_key, precondition=precondition)


def export_variables(caller: Caller, **query: Any) -> str | Noted:
    """Export variables."""
    return left_out.noted(variable_exchange.export_variables(query, caller=caller))


def import_variables(body: Json, caller: Caller, **query: Any) -> Json:
    """Import variables."""
    return variable_exchange.import_variables(query, upload=body["file"], caller=caller)


def reveal_variable(variable_key: str, source: str, body: Json) -> Json:
    """Reveal the value of a variable."""
    # The reason is for the audit, which has read it by now.
    del body
    return variable_sources.reveal_variable(variable_key, source=source)
