"""The wire: uvicorn's quick HTTP/1.1 parser, with what it lacks beside the slow one."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airflow_rest_api.web import exchange, headers, problems

# What a request line and its headers may take together; httptools, unlike h11, has no bound of its own.
MAX_HEAD_BYTES = 64 * 1024
# How long a head may take from its connection, or its first byte on one that is kept; uvicorn waits for ever.
HEAD_SECONDS = 20.0
# How long a client may take to read the response to what was refused here.
LINGER_SECONDS = 1.0
# So many connections beyond the bound are told so; the rest is closed without a response.
_MOST_REFUSED = 100
# An offer of another protocol within a head, with the lines that continue it.
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*", re.IGNORECASE)


class HttpProtocol(HttpToolsProtocol):
    """Reads heads whole: within a bound, and deaf to offers of other protocols.

    Java's client offers HTTP/2 on plain connections, and proxies pass such offers on. A server may ignore them
    (RFC 9110 section 7.8), but this parser, once it has seen one, takes what follows the head for the other
    protocol: the body is lost, or read as a request of its own (uvicorn issue 2722).
    """

    _pending = b""
    _is_refused = False
    _reads_head = False
    _within_body = False
    _left: int | None = None
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, most_connections: int, **options: Any) -> None:
        """Take how many connections may be open in this process."""
        super().__init__(*args, **options)
        self._most_connections = most_connections

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head, unless too many connections are open."""
        super().connection_made(transport)
        excess = len(self.connections) - self._most_connections
        if excess <= 0:
            self._expect_head()
        elif excess <= _MOST_REFUSED:
            self._refuse(503, "Too many connections are open; try again shortly.", "retry-after: 1")
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand complete heads and whatever belongs to bodies on to the parser."""
        if self._is_refused:
            return
        self._pending += data
        while self._pending and (self._read_body() if self._within_body else self._read_head()):
            pass
        if self._pending and not self._within_body and self._deadline is None:
            self._expect_head()

    def _expect_head(self) -> None:
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close a connection on which no head came: silently where nothing came at all, as browsers expect."""
        self._deadline = None
        if self._pending:
            self._refuse(
                408, f"The request line and the headers did not arrive within {HEAD_SECONDS:.0f} seconds."
            )
        else:
            self.transport.close()

    def _read_body(self) -> bool:
        """Read what is there of a body, and of one with a length no byte more: the next request may follow it.

        A client whose request was answered before its body was read sends the next one right behind.
        """
        count = len(self._pending) if self._left is None else min(self._left, len(self._pending))
        body, self._pending = self._pending[:count], self._pending[count:]
        self._left = None if self._left is None else self._left - count
        super().data_received(body)
        return count > 0 and not self.transport.is_closing()

    def _read_head(self) -> bool:
        """Read the next head; tell whether there may be more to read."""
        head, separator, rest = self._pending.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            self._refuse(431, f"The request line and the headers exceed {MAX_HEAD_BYTES} bytes.")
            return False
        if not separator and (head[:1].isalpha() or not head.strip(b"\r\n")):
            return False
        self._pending, self._reads_head, self._left = rest, True, None
        # What does not even begin as a request is not waited for: the parser refuses it.
        super().data_received(_UPGRADE.sub(b"", head) + separator)
        self._reads_head = False
        return not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """Refuse a request that begins in the data of a chunked body: nobody has looked at its head."""
        if not self._reads_head:
            raise ValueError("a request follows a body without a pause")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the length of the body."""
        if name.lower() == b"content-length" and value.isdigit():
            self._left = int(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that a body may follow, which is nobody's to change."""
        self._head_is_there()
        self._within_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next bytes begin a request."""
        self._within_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as every other layer answers what it refuses."""
        self._refuse(400, "What came in is no valid HTTP request.")

    def _refuse(self, status: int, detail: str, *further: str) -> None:
        """Send an error and close the connection.

        The client gets a moment to read it: a connection that is closed while data arrives is reset, and the response
        may be lost with it.
        """
        self._is_refused, self._pending = True, b""
        self._head_is_there()
        self._abandon_request()
        request_id = exchange.new_id()
        body = problems.of_status(status, detail).body(instance="", request_id=request_id)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"content-type: {problems.MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
            *further,
            *(b": ".join(header).decode() for header in headers.completing(self.scheme)),
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _abandon_request(self) -> None:
        """Let the request in progress, whose body is broken, see that its client is gone: it must not respond."""
        cycle: Any = self.cycle  # None before the first request
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
