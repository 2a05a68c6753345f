"""The audit: one row before and one after every change, in Airflow's own event log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow.models.log import Log
from sqlalchemy.orm import Session

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Credential
from airflow_rest_api.services.database import write

log = logging.getLogger(__name__)

# The widths of the columns in Airflow's table `log`.
_EVENT, _ID, _OWNER = 60, 250, 500


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
    # What the request is about, by the columns of Airflow's table, and its masked fields for `extra`.
    subject: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what the column `extra` has of the call in every row."""
        facts: dict[str, Any] = {"request_id": self.request_id, "client": self.client}
        if self.credential is not None:
            facts |= {"credential": self.credential.kind, "token": self.credential.fingerprint}
        return facts

    def columns(self) -> dict[str, Any]:
        """Return the columns of Airflow's table by which its own filters find the row."""
        columns = {
            name: value[:_ID] if isinstance(value, str) else value for name, value in self.subject.items()
        }
        owner = self.owner[:_OWNER] if self.owner else None
        return {"event": self.event[:_EVENT], "owner": owner, "owner_display_name": owner, **columns}

    def about_run(self, run_id: str | None) -> Call:
        """Return the call with the run that it has created, if there is one."""
        return self if run_id is None else replace(self, subject={**self.subject, "run_id": run_id})


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
        known = {**phase, **call.facts()}
        # A field of the request replaces none of ours.
        further = {name: value for name, value in call.fields.items() if name not in known}
        row = {**call.columns(), "extra": json.dumps({**known, **further})}
        safe: dict[str, Any] = {
            name: self._redactor.text(value) if isinstance(value, str) else value
            for name, value in row.items()
        }

        def work(session: Session) -> None:
            session.add(Log(**safe))

        write(work)
