"""Unread bodies: a response that is sent before the whole request body was received closes the connection.

Otherwise a client whose body was rejected could go on sending for as long as it likes. HTTP/1.1 has no other way to
end a body early (RFC 9112 section 9.6). The client gets some time to read the response: a connection that is closed
while data arrives is reset, and the response may be lost with it.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.web.headers import Header
from airflow_rest_api.web.stopping import is_stopping

# How long and how much a client may go on sending after the response, and how long it may pause.
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
PAUSE_SECONDS = 1.0
# A small body often arrives with the head, and need not cost the connection.
_SMALL_DIGITS = 5  # of a Content-Length
ARRIVAL_SECONDS = 0.05


class UnreadBodies:
    """The ASGI layer that closes connections on which a body is still being sent."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; look at the body if it announces one."""
        if scope["type"] == "http" and scope["http_version"].startswith("1") and _has_body(scope["headers"]):
            exchange = _Exchange(scope, receive, send)
            receive, send = exchange.receive, exchange.send
        await self._application(scope, receive, send)


def _is_small(headers: list[Header]) -> bool:
    length = dict(headers).get(b"content-length", b"")
    return length.isdigit() and len(length) <= _SMALL_DIGITS


def _has_body(headers: list[Header]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


class _Exchange:
    """A request with a body, and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_small = _is_small(scope["headers"])
        # To receive anything is to ask such a client to send its body.
        self._is_invited = (b"expect", b"100-continue") not in scope["headers"]
        self._is_complete = False

    async def receive(self) -> Message:
        self._is_invited = True
        message = await self._receive()
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        self._is_complete = message["type"] == "http.disconnect" or not message.get("more_body", False)

    async def send(self, message: Message) -> None:
        if self._is_complete:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._start(message)
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._discard(LINGER_SECONDS, PAUSE_SECONDS)
            await self._send({"type": "http.response.body"})

    async def _start(self, message: Message) -> None:
        if self._is_invited and self._is_small:
            await self._discard(ARRIVAL_SECONDS, ARRIVAL_SECONDS)
        if not self._is_complete:
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)

    async def _discard(self, seconds: float, pause: float) -> None:
        """Discard what arrives, until the body is complete or one of the bounds is reached."""
        clock = asyncio.get_running_loop().time
        deadline, left = clock() + seconds, LINGER_BYTES
        while not self._is_complete and left > 0 and clock() < deadline and not is_stopping():
            try:
                message = await asyncio.wait_for(self._receive(), min(pause, deadline - clock()))
            except asyncio.TimeoutError:
                return
            left -= len(message.get("body", b""))
            self._note(message)
