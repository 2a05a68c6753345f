"""The gate in front of every handler: may the caller do it, and the record that it was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from airflow_rest_api.security import access
from airflow_rest_api.security.audit import Audit, AuditUnavailable
from airflow_rest_api.services import errors
from airflow_rest_api.web import problems
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.exchange import Exchange


class Gate:
    """Asks for permission and writes the audit."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @contextmanager
    def passing(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        """Let the handler run inside; raises `Denied`, and `AuditUnavailable` before anything was changed."""
        if operation.read_only:
            self._require(operation, exchange)
            yield
        elif operation.anonymous:
            with self._written_afterwards(operation, exchange):
                yield
        else:
            with self._written_before_and_after(operation, exchange):
                yield

    @contextmanager
    def _written_before_and_after(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        owner = exchange.caller.name if exchange.caller else None
        facts = (operation.operation_id, owner, exchange.arguments, exchange.request_id)
        try:
            self._require(operation, exchange)
            self._audit.intent(*facts)
            yield
        except AuditUnavailable:
            raise
        except Exception as fault:
            self._audit.outcome(*facts, problems.status_of(fault))
            raise
        self._audit.outcome(*facts, operation.status)

    @contextmanager
    def _written_afterwards(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        """Write who logged in, and before the tokens are handed out; a failed guess leaves no row.

        Anybody can guess, and would fill the event log with it.
        """
        event, told = operation.operation_id, (exchange.arguments, exchange.request_id)
        try:
            yield
        except Exception as fault:
            status = problems.status_of(fault)
            if status != HTTPStatus.UNAUTHORIZED:
                self._audit.outcome(event, None, *told, status)
            raise
        owner = exchange.body.get("username") if isinstance(exchange.body, dict) else None
        self._audit.intent(event, owner, *told)
        self._audit.outcome(event, owner, *told, operation.status)

    def _require(self, operation: Operation, exchange: Exchange) -> None:
        if operation.anonymous:
            return
        if exchange.caller is None:
            raise errors.Unauthenticated("No credential was presented.")
        access.require(operation.access or (), exchange.caller, exchange.arguments, exchange.body)
