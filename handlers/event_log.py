"""EventLog: the operations of `openapi/paths/event_log.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import event_log as service
from airflow_rest_api.services.caller import Caller

Json = dict[str, Any]


def get_event_logs(caller: Caller, **query: Any) -> Json:
    """List event log entries."""
    return service.get_event_logs(query=query, caller=caller)


def get_event_log(event_log_id: int, caller: Caller) -> Json:
    """Get an event log entry."""
    return service.get_event_log(event_log_id, caller=caller)
