"""Limits: how much a request may carry, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope

from airflow_rest_api.services import errors
from airflow_rest_api.web import problems

BODY_SECONDS = 30
# Path and query; a list filter takes some hundred ids. Servers bound the whole head, some of them generously.
MAX_ADDRESS_BYTES = 16 * 1024
_MOST_DIGITS = 18


def admit_address(scope: Scope) -> None:
    """Raise `AddressTooLong` for an address that nobody writes who means well."""
    if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_ADDRESS_BYTES:
        raise AddressTooLong


class BodyLimits:
    """How much a request may carry: by default ``most`` bytes, more for the operations that say so."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def admit(self, scope: Scope, receive: Receive) -> Receive:
        """Return a `receive` that keeps the limit, and gives a chunked body its length.

        Raises `BodyTooLarge` on the announced length, before a byte is read.
        """
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
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


class AddressTooLong(problems.Refused):
    """Path and query are too long."""

    def __init__(self) -> None:
        super().__init__(414, f"Path and query are longer than {MAX_ADDRESS_BYTES} bytes.")


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
