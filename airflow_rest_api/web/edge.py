"""The edge: what every request passes first and every answer last, whoever makes it.

It gives the request its id, turns a HEAD into the GET that it asks about, makes a problem of whatever was raised,
and puts the headers on that every answer has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.web import exchange, headers, problems, stopping
from airflow_rest_api.web.metrics import Metrics

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Edge:
    """The outermost ASGI layer of the application."""

    def __init__(self, application: ASGIApp, metrics: Metrics, redactor: Redactor) -> None:
        self._application = application
        self._metrics = metrics
        self._redactor = redactor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; every other kind of connection is refused."""
        if scope["type"] != "http":
            await _refuse_connection(scope, receive, send)
            return
        answer = _Answer(scope, send, exchange.begin(scope, dict(scope["headers"])))
        with self._metrics.timed() as timing:
            try:
                await self._answer(scope, receive, answer)
            finally:
                timing.done(answer.exchange.operation_id, answer.status)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._application(_as_get(scope), receive, answer.send)
        except asyncio.CancelledError:
            # The server cancels what has not ended in time; its own response would be a text without a reason.
            if stopping.is_stopping() and not answer.started:
                await self._send_error(stopping.Stopping(), answer)
            raise
        except Exception as fault:
            if answer.started:
                raise
            await self._send_error(fault, answer)

    async def _send_error(self, error: BaseException, answer: _Answer) -> None:
        problem = problems.of(error, request_id=answer.exchange.request_id)
        await answer.send_problem(problem, self._redactor)


def _as_get(scope: Scope) -> Scope:
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


async def _refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    elif scope["type"] == "lifespan":
        await _live(receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """Confirm the server's start and stop: everything was built before the server was given the application."""
    for _ in ("startup", "shutdown"):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


class _Answer:
    """The way out: completes the head of an answer, and drops the body of an answer to a HEAD."""

    def __init__(self, scope: Scope, send: Send, exchange_: exchange.Exchange) -> None:
        self._scope = scope
        self._send = send
        self.exchange = exchange_
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._completed(message["status"], message["headers"])}
        elif message["type"] == "http.response.body" and self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def send_problem(self, problem: problems.Problem, redactor: Redactor) -> None:
        body = problem.body(instance=self.exchange.instance, request_id=self.exchange.request_id)
        body = redactor.json(body)
        head = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})

    def _completed(self, status: int, made: Iterable[headers.Header]) -> list[headers.Header]:
        kept = [entry for entry in made if status not in _WITHOUT_BODY or not _describes_body(entry[0])]
        present = {name for name, _ in kept}
        kept.append((b"x-request-id", self.exchange.request_id.encode()))
        return kept + headers.completing(self._scope.get("scheme"), present)


def _describes_body(name: bytes) -> bool:
    return name in (b"content-type", b"content-length")
