"""The dialler: tests one connection with its hook, as Airflow does, in a process that ends afterwards.

Hooks are code of this installation, and who calls decides what they connect to.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Any

from airflow.sdk.definitions.connection import Connection
from airflow.sdk.execution_time import context
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_rest_api.sandbox import destinations
from airflow_rest_api.sandbox.addresses import resolved

Json = dict[str, Any]

_MOST_TEXT = 4000


def warm_up() -> None:
    """Read what the providers say of themselves, so that no test has to."""
    dict.fromkeys(ProvidersManagerTaskRuntime().hooks)


def dial(connection: Mapping[str, Any]) -> Json:
    """Test a connection, and return `status` and `message`, or the host that it may not dial as `refused`.

    The process is guarded by now.
    """
    for host, port in destinations.named(connection):
        if _is_denied(host, port):
            return {"refused": host[:_MOST_TEXT]}
    status, message = _tested(Connection(**connection))
    return {"status": bool(status), "message": str(message)[:_MOST_TEXT]}


def _is_denied(host: str, port: int) -> bool:
    """Ask the guard about all addresses that a host stands for; nothing is sent to them."""
    for address in resolved(host):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if probe.connect_ex((str(address), port)) == errno.EACCES:
                return True
    return False


def _tested(connection: Connection) -> tuple[Any, Any]:
    # Hooks ask Airflow for their connection; the library for tasks looks here, the older one at the environment.
    os.environ[f"AIRFLOW_CONN_{connection.conn_id.upper()}"] = connection.get_uri()
    context._preset_connections.set({connection.conn_id: connection})
    try:
        hook = connection.get_hook()
        if not getattr(hook, "test_connection", None):
            # In the words of Airflow 3.3, `airflow.models.connection.Connection.test_connection`.
            return False, f"Hook {type(hook).__name__} doesn't implement or inherit test_connection method"
        status, message = hook.test_connection()
    except Exception as fault:
        return False, str(fault)
    return status, message
