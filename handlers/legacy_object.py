"""LegacyObject: the operations of `openapi/paths/legacy_object.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import connections as old_connections
from airflow_rest_api.legacy.clairvoyant import pool as old_pool
from airflow_rest_api.legacy.clairvoyant import variables as old_variables
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.settings import Settings


def variables(call: Call, caller: Caller, settings: Settings, **given: Any) -> Json:
    """Read or change variables."""
    return old_variables.variables(call, given, caller=caller, upload_roots=settings.upload_roots)


def connections(call: Call, caller: Caller, **given: Any) -> Json:
    """List, add or delete connections."""
    return old_connections.connections(call, given, caller=caller)


def pool(call: Call, caller: Caller, **given: Any) -> Json:
    """Read or change pools."""
    return old_pool.pool(call, given, caller=caller)


post_variables = variables
post_connections = connections
post_pool = pool
