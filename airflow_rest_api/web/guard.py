"""The guard around Connexion: nothing passes that is no operation of a contract, and no refusal goes unrecorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.security import access
from airflow_rest_api.security.audit import Audit
from airflow_rest_api.security.refusals import Refusals
from airflow_rest_api.services import errors
from airflow_rest_api.web import exchange, limits, problems
from airflow_rest_api.web.bridge import Workers
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.exchange import Exchange
from airflow_rest_api.web.gate import call_of
from airflow_rest_api.web.limits import BodyLimits
from airflow_rest_api.web.paths import PathTable

log = logging.getLogger(__name__)

_MALFORMED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
# Refused whoever calls, or before anybody knows who: counted, never written one by one.
_COUNTED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)


class Unguarded(Exception):
    """An operation answered although its caller was never permitted: a fault of this service."""


class Guard:
    """Finds the operation of a request, limits its body, and looks at what becomes of it.

    It stands outside Connexion and does not rely on it: Airflow authenticates nobody before a mounted application,
    and a route that the contract does not know would be open to all.
    """

    def __init__(
        self,
        application: ASGIApp,
        table: PathTable,
        operations: Mapping[tuple[str, str], Operation],
        body_limits: BodyLimits,
        recorder: Recorder,
        workers: Workers,
    ) -> None:
        """Take the operations by base path and operationId."""
        self._application = application
        self._table = table
        self._operations = operations
        self._body_limits = body_limits
        self._recorder = recorder
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request of an operation on; raises 404 and 405 for what is none."""
        current = exchange.of(scope)
        limits.admit_address(scope)
        operation = self._find(scope, current)
        watch = _Watch(operation, current, send)
        try:
            received = self._body_limits.admit(operation, scope, receive)
            await self._application(_as_template(scope, current, operation), received, watch.send)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            denial = await self._denial(operation, current, fault)
            await self._recorder.refused(operation, current, problems.status_of(denial or fault))
            if denial is not None:
                raise denial from fault
            raise
        finally:
            current.closing.close()
        if watch.status >= HTTPStatus.BAD_REQUEST:
            await self._recorder.refused(operation, current, watch.status)

    async def _denial(
        self, operation: Operation, current: Exchange, fault: Exception
    ) -> errors.Refusal | None:
        """Return why the caller may not call the operation at all, if the request was rejected as malformed.

        What is wrong with a request concerns callers with permission alone. It is asked after the fact, since
        hardly any request is malformed.
        """
        caller, found = current.caller, current.found
        is_malformed = problems.status_of(fault) in _MALFORMED and not current.permitted
        if caller is None or found is None or operation.anonymous or not is_malformed:
            return None
        try:
            rules = operation.access or ()
            await self._workers.run(access.require_possible, rules, caller, found.arguments)
        except errors.Denied as denial:
            return denial
        return None

    def _find(self, scope: Scope, current: Exchange) -> Operation:
        place = scope["path"].removeprefix(scope["root_path"])
        found = self._table.find(scope["method"], place, scope.get("raw_path") or b"")
        current.found = found
        current.operation_id = found.operation_id
        return self._operations[found.base, found.operation_id]


def _as_template(scope: Scope, current: Exchange, operation: Operation) -> Scope:
    """Return the scope with the path of the contract, `/pools/{pool_name}`.

    Flask routes a second time by the decoded path, in which a slash inside an id separates segments. The values of
    the path have been read.
    """
    assert current.found is not None
    path = f"{scope['root_path']}{current.found.base}{operation.path}"
    return {**scope, "path": path, "raw_path": path.encode()}


class _Watch:
    """Looks at an answer on its way out."""

    def __init__(self, operation: Operation, current: Exchange, send: Send) -> None:
        self._operation = operation
        self._current = current
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            succeeds = self.status < HTTPStatus.BAD_REQUEST
            if succeeds and not self._operation.anonymous and not self._current.permitted:
                raise Unguarded(self._operation.operation_id)
        await self._send(message)


class Recorder:
    """Writes into the event log what was refused before it could begin."""

    def __init__(self, audit: Audit, refusals: Refusals, workers: Workers) -> None:
        self._audit = audit
        self._refusals = refusals
        self._workers = workers

    async def refused(self, operation: Operation, current: Exchange, status: int) -> None:
        """Record the refusal of a change, unless the gate wrote down what became of it.

        Of a caller whom somebody knows it is one outcome; all others are counted.
        """
        if current.audited or not operation.is_recorded(current.arguments):
            return
        current.audited = True
        if current.caller is not None and status not in _COUNTED:
            call = call_of(operation, current)
            await self._workers.run(self._audit.outcome, call, status, perf_counter() - current.begin)
            return
        told = (operation.operation_id, status, current.client)
        if self._refusals.known(*told):
            self._refusals.count(*told, current.request_id)
        else:
            await self._workers.run(self._refusals.count, *told, current.request_id)


def by_place(contracts: Iterable[tuple[str, Iterable[Operation]]]) -> dict[tuple[str, str], Operation]:
    """Return the operations of all contracts by base path and operationId."""
    return {
        (base, operation.operation_id): operation
        for base, operations in contracts
        for operation in operations
    }
