"""The audit: one row before and one after every change, in Airflow's own event log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow.models.log import Log
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import write

log = logging.getLogger(__name__)

_COLUMNS = {"dag_id": "dag_id", "task_id": "task_id", "dag_run_id": "run_id", "map_index": "map_index"}


class AuditUnavailable(errors.Unavailable):
    """The intent could not be written, so nothing was done."""

    title = "The audit log is unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The event log cannot be written at present, and nothing is changed without it.", retry_after=2
        )


class Audit:
    """Writes what callers intend to change and what came of it."""

    def __init__(self, on_loss: Callable[[], None]) -> None:
        """Take what to do when an outcome cannot be written: the answer goes out all the same."""
        self._on_loss = on_loss

    def intent(self, event: str, owner: str | None, facts: Mapping[str, Any], request_id: str) -> None:
        """Write, before the effect, that it is going to be tried; raises `AuditUnavailable`."""
        try:
            self._write(event, owner, facts, {"phase": "intent", "request_id": request_id})
        except Exception as fault:
            raise AuditUnavailable from fault

    def outcome(
        self, event: str, owner: str | None, facts: Mapping[str, Any], request_id: str, status: int
    ) -> None:
        """Write what came of it: the HTTP ``status`` of the answer."""
        try:
            self._write(event, owner, facts, {"phase": "outcome", "status": status, "request_id": request_id})
        except Exception:
            log.exception("The outcome %s of %s (request %s) could not be written", status, event, request_id)
            self._on_loss()

    def _write(self, event: str, owner: str | None, facts: Mapping[str, Any], extra: dict[str, Any]) -> None:
        columns = {
            column: facts[argument]
            for argument, column in _COLUMNS.items()
            if facts.get(argument) not in (None, "~")
        }

        def work(session: Session) -> None:
            row = Log(
                event=event[:60], owner=owner, owner_display_name=owner, extra=json.dumps(extra), **columns
            )
            session.add(row)

        write(work)
