"""The audit: one row before and one after every change, in Airflow's own event log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.models.log import Log
from sqlalchemy.orm import Session

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Credential
from airflow_rest_api.services.database import write
from airflow_rest_api.services.files.uploads import Upload

log = logging.getLogger(__name__)

_COLUMNS = {"dag_id": "dag_id", "task_id": "task_id", "dag_run_id": "run_id", "run_id": "run_id"}
# The widths of the columns in Airflow's table `log`.
_EVENT, _ID, _OWNER = 60, 250, 500
# What names another thing than a DAG has no column, nor has the reason that a caller gives; `extra` tells them.
_TOLD = (
    *("root", "path", "bundle_name", "variable_key", "connection_id", "pool_name", "backfill_id"),
    *("key", "name", "reason", "file", "dag_file", "archive"),
    # Of old calls, which name their objects in words of their own.
    *("conn_id", "add", "delete", "get", "import", "export", "tasks", "execution_date", "exec_date"),
)
# The fields of a body that say what a call is about.
BODY_NAMES = (*_TOLD, "dag_id")
_NAME = 1024


class AuditUnavailable(errors.Unavailable):
    """The intent could not be written, so nothing was done."""

    title = "The audit log is unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The event log cannot be written at present, and nothing is changed without it.", retry_after=2
        )


@dataclass(frozen=True)
class Call:
    """Who calls which operation on what, and from where."""

    event: str
    request_id: str
    client: str
    owner: str | None = None
    credential: Credential | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what the column `extra` tells of the call in every row."""
        facts: dict[str, Any] = {"request_id": self.request_id, "client": self.client}
        if self.credential is not None:
            facts |= {"credential": self.credential.kind, "token": self.credential.fingerprint}
        told = {name: _told(self.arguments.get(name)) for name in _TOLD}
        return facts | {name: value for name, value in told.items() if value is not None}

    def columns(self) -> dict[str, Any]:
        """Return the columns of Airflow's table by which its own filters find the row."""
        named = {column: self.arguments[name] for name, column in _COLUMNS.items() if name in self.arguments}
        columns: dict[str, Any] = {
            column: value[:_ID] for column, value in named.items() if isinstance(value, str) and value != "~"
        }
        index = self.arguments.get("map_index")
        if isinstance(index, int):
            columns["map_index"] = index
        owner = self.owner[:_OWNER] if self.owner else None
        return {"event": self.event[:_EVENT], "owner": owner, "owner_display_name": owner, **columns}


def _told(value: Any) -> str | int | None:
    """Return what is told of an argument, of a file how its sender calls it; None for what says nothing."""
    if isinstance(value, Upload):
        value = value.name
    if isinstance(value, str):
        return value[:_NAME]
    return value if isinstance(value, int) and value is not False else None


class Audit:
    """Writes what callers intend to change and what came of it."""

    def __init__(self, on_loss: Callable[[], None], redactor: Redactor) -> None:
        """Take what to do when an outcome cannot be written: the answer goes out all the same."""
        self._on_loss = on_loss
        self._redactor = redactor

    def intent(self, call: Call) -> None:
        """Write, before the effect, that it is going to be tried; raises `AuditUnavailable`."""
        try:
            self._write(call, {"phase": "intent"})
        except Exception as fault:
            raise AuditUnavailable from fault

    def outcome(self, call: Call, status: int, seconds: float, **facts: Any) -> None:
        """Write what came of it after so many ``seconds``: the HTTP ``status`` of the answer, and further facts."""
        told = {"phase": "outcome", "status": status, "milliseconds": round(seconds * 1000), **facts}
        try:
            self._write(call, told)
        except Exception:
            log.exception(
                "The outcome %s of %s (request %s) could not be written", status, call.event, call.request_id
            )
            self._on_loss()

    def _write(self, call: Call, phase: Mapping[str, Any]) -> None:
        row = {**call.columns(), "extra": json.dumps({**phase, **call.facts()})}
        safe: dict[str, Any] = {
            name: self._redactor.text(value) if isinstance(value, str) else value
            for name, value in row.items()
        }

        def work(session: Session) -> None:
            session.add(Log(**safe))

        write(work)
