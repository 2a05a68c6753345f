"""Backfill: the operations of `openapi/paths/backfill.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import backfill as service
from airflow_rest_api.services.caller import Caller

Json = dict[str, Any]


def list_backfills(caller: Caller, **query: Any) -> Json:
    """List backfills."""
    return service.list_backfills(query=query, caller=caller)


def create_backfill(body: Json, caller: Caller) -> Json:
    """Create a backfill."""
    return service.create_backfill(body=body, caller=caller)


def create_backfill_dry_run(body: Json, caller: Caller) -> Json:
    """Tell which runs a backfill would have."""
    return service.create_backfill_dry_run(body=body, caller=caller)


def get_backfill(backfill_id: int, caller: Caller) -> Json:
    """Get a backfill."""
    return service.get_backfill(backfill_id, caller=caller)


def pause_backfill(backfill_id: int, caller: Caller) -> Json:
    """Pause a backfill."""
    return service.pause_backfill(backfill_id, caller=caller)


def unpause_backfill(backfill_id: int, caller: Caller) -> Json:
    """Unpause a backfill."""
    return service.unpause_backfill(backfill_id, caller=caller)


def cancel_backfill(backfill_id: int, caller: Caller) -> Json:
    """Cancel a backfill."""
    return service.cancel_backfill(backfill_id, caller=caller)
