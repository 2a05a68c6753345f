"""The gate in front of every handler: may the caller do it, and the record that it was done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from time import perf_counter
from typing import Any

from airflow_rest_api.security import access, audit_fields
from airflow_rest_api.security.audit import Audit, Call
from airflow_rest_api.services import errors
from airflow_rest_api.web import contract, problems
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.exchange import Exchange


def call_of(operation: Operation, exchange: Exchange, owner: str | None = None) -> Call:
    """Return what the audit has of a request; its arguments as they were read, or as they stand in the path.

    Of an anonymous request, such as a login, no field is kept.
    """
    caller, old = exchange.caller, exchange.call
    arguments = exchange.arguments or (exchange.found.arguments if exchange.found else {})
    if old is not None:
        subject = audit_fields.columns({**arguments, **old.subject()}, None)
        fields = audit_fields.of_old_call(old.told, old.values)
    else:
        subject = audit_fields.columns(arguments, exchange.body)
        is_form = operation.body_type == contract.FORM
        body = audit_fields.of_form(exchange.body) if is_form else exchange.body
        fields = audit_fields.of_request(operation.tag, arguments, body)
    return Call(
        event=exchange.call.name if exchange.call else operation.operation_id,
        request_id=exchange.request_id,
        client=exchange.client,
        owner=caller.name if caller else owner,
        credential=caller.credential if caller else None,
        subject=subject,
        fields={} if operation.anonymous else fields,
    )


class Gate:
    """Asks for permission and writes the audit."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def admit(self, operation: Operation, exchange: Exchange) -> None:
        """Let the caller pass who may; raises `Unauthenticated` and `Denied`.

        A refusal leaves no row here: the guard writes one for whatever was refused anywhere.
        """
        if not operation.anonymous:
            self._require(operation.access or (), exchange)
        exchange.permitted = True

    def admit_unread(self, operation: Operation, exchange: Exchange) -> None:
        """Let the caller send a large body who may; raises as `admit`, which asks again when it was read.

        What a rule finds in the body is left to that: files are no reason to let anybody fill the disk. A form names
        no team, so what is asked of variables, connections and pools in general can be asked at once.
        """
        if not operation.anonymous:
            rules = [rule for rule in operation.access or () if not access.is_about_body(rule)]
            self._require(rules, exchange)

    def admit_again(self, operation: Operation, exchange: Exchange) -> None:
        """Let a caller go on who still may; raises as `admit`.

        What has become of the token is asked as long as it would be valid: an answer may last longer than that.
        """
        credential = exchange.caller.credential if exchange.caller else None
        expires = credential.expires_at if credential else None
        is_expired = expires is not None and expires <= datetime.now(timezone.utc)
        if exchange.identify_again is not None and not is_expired:
            exchange.caller = exchange.identify_again()
        self.admit(operation, exchange)

    @contextmanager
    def recording(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        """Let the handler run inside; raises `AuditUnavailable` before anything was changed."""
        if not operation.is_recorded(exchange.arguments):
            yield
        elif operation.anonymous:
            with self._written_afterwards(operation, exchange):
                yield
        elif operation.is_dry_run(exchange.arguments, exchange.body):
            with self._outcome_alone(operation, exchange):
                yield
        else:
            with self._written_before_and_after(operation, exchange):
                yield

    def replayed(self, operation: Operation, exchange: Exchange, status: int) -> None:
        """Write that a call was answered with its first answer: one outcome, since nothing was tried."""
        exchange.audited = True
        self._outcome(call_of(operation, exchange), status, exchange, replayed=True)

    @staticmethod
    def _require(rules: Iterable[access.Rule], exchange: Exchange) -> None:
        if exchange.caller is None:
            raise errors.Unauthenticated("No credential was presented.")
        access.require(rules, exchange.caller, exchange.arguments, exchange.body)

    @contextmanager
    def _written_before_and_after(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        call = call_of(operation, exchange)
        exchange.audited = True
        self._audit.intent(call)
        try:
            yield
        except Exception as fault:
            self._outcome(call, problems.status_of(fault), exchange)
            raise
        created = exchange.call.run_id if exchange.call else exchange.created_run
        self._outcome(call.about_run(created), operation.status, exchange)

    @contextmanager
    def _outcome_alone(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        """Write what a dry run answered; its refusals are left to the guard."""
        yield
        exchange.audited = True
        self._outcome(call_of(operation, exchange), operation.status, exchange, dry_run=True)

    @contextmanager
    def _written_afterwards(self, operation: Operation, exchange: Exchange) -> Iterator[None]:
        """Write who logged in, and before the tokens are handed out.

        What was refused is left to the guard, which counts it: anybody can guess, and would fill the event log.
        """
        yield
        owner = exchange.body.get("username") if isinstance(exchange.body, dict) else None
        call = call_of(operation, exchange, owner)
        exchange.audited = True
        self._audit.intent(call)
        self._outcome(call, operation.status, exchange)

    def _outcome(self, call: Call, status: int, exchange: Exchange, **facts: Any) -> None:
        self._audit.outcome(call, status, perf_counter() - exchange.begin, **facts)
