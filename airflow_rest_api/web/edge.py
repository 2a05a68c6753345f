"""The edge: what every request passes first and every answer last, whoever makes it.

It gives the request its id, refuses a body that is too large before reading it, turns a HEAD into the GET
that it asks about, makes a problem of whatever was raised, and puts the headers on that every answer has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.services import errors
from airflow_rest_api.web import exchange, problems
from airflow_rest_api.web.metrics import Metrics

BODY_SECONDS = 30
_MOST_DIGITS = 18
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# Pages bring a policy of their own; nothing else may be rendered, framed or cached.
_DEFAULTS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


class Edge:
    """The outermost ASGI layer of the application."""

    def __init__(self, application: ASGIApp, limits: BodyLimits, metrics: Metrics) -> None:
        self._application = application
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; every other kind of connection is refused."""
        if scope["type"] != "http":
            await _refuse_connection(scope, receive, send)
            return
        headers = dict(scope["headers"])
        answer = _Answer(scope, send, exchange.begin(scope, headers))
        with self._metrics.timed() as timing:
            try:
                await self._answer(scope, headers, receive, answer)
            finally:
                timing.done(answer.exchange.operation_id, answer.status)

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, answer: _Answer
    ) -> None:
        try:
            received = await self._limits.admit(scope, headers, receive)
            await self._application(_as_get(scope), received, answer.send)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            if answer.started:
                raise
            await answer.send_problem(problems.of(fault, request_id=answer.exchange.request_id))


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

    async def send_problem(self, problem: problems.Problem) -> None:
        body = problem.body(instance=self.exchange.instance, request_id=self.exchange.request_id)
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _completed(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [
            entry for entry in headers if status != HTTPStatus.NO_CONTENT or not _describes_body(entry[0])
        ]
        present = {name for name, _ in kept}
        kept.append((b"x-request-id", self.exchange.request_id.encode()))
        kept += _SECURITY_HEADERS
        kept += [entry for entry in _DEFAULTS if entry[0] not in present]
        return kept


def _describes_body(name: bytes) -> bool:
    return name in (b"content-type", b"content-length")


class BodyLimits:
    """How much a request may carry: by default ``most`` bytes, more for the operations that say so."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def admit(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Receive:
        """Return a `receive` that keeps the limit, and gives a chunked body its length.

        Raises `BodyTooLarge` on the announced length, before a byte is read.
        """
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedEncoding
        if b"transfer-encoding" in headers:
            return await self._whole(scope, receive)
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit():
            raise errors.Malformed("The Content-Length is not a number.")
        # Python refuses to read a number of thousands of digits.
        if len(announced) > _MOST_DIGITS or int(announced) > self._most:
            raise BodyTooLarge(self._most)
        return receive if announced == b"0" else _Paced(receive, self._most)

    async def _whole(self, scope: Scope, receive: Receive) -> Receive:
        """Read a chunked body: Connexion takes one without a Content-Length for absent (its issue 2020)."""
        paced = _Paced(receive, self._most)
        body, more = b"", True
        while more:
            message = await paced()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        kept = [
            entry for entry in scope["headers"] if entry[0] not in (b"transfer-encoding", b"content-length")
        ]
        scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            message = next(messages, None)
            return message if message is not None else await receive()

        return replay


class _Paced:
    """A `receive` that counts the bytes and does not wait for a slow sender without end."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        self._most = most
        self._complete = False
        self._deadline: float | None = None

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # waits for the client to go, which has no deadline
        now = asyncio.get_running_loop().time()
        self._deadline = self._deadline or now + BODY_SECONDS
        try:
            message = await asyncio.wait_for(self._receive(), max(self._deadline - now, 0.001))
        except asyncio.TimeoutError:
            raise BodyTooSlow from None
        if message["type"] == "http.disconnect":
            raise BodyIncomplete
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge(self._most)
        self._complete = not message.get("more_body", False)
        return message


class BodyTooLarge(problems.Refused):
    """The body is larger than the operation takes."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"The body is larger than the {most} bytes that are taken here.")


class BodyTooSlow(problems.Refused):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, f"The body did not arrive within {BODY_SECONDS} seconds.")


class BodyIncomplete(problems.Refused):
    """The client went before it had sent the whole body; a part of one must not be taken for what was meant."""

    def __init__(self) -> None:
        super().__init__(400, "The body ended before it was complete.")


class UnsupportedEncoding(problems.Refused):
    """The body is compressed."""

    def __init__(self) -> None:
        super().__init__(415, "Compressed bodies are not taken; send the body without Content-Encoding.")
