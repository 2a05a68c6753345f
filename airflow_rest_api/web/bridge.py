"""The bridge from ASGI to Flask: one hand-over to a worker thread per request.

Connexion's own bridge (a2wsgi) has ten threads and crosses between loop and thread at every message, which
costs more than the work of a small operation. This one reads the body, runs Flask once in a pool of
`worker_threads` threads, and sends what came out; an answer without a length, and a file, is streamed part by part.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

from starlette.types import Message, Receive, Scope, Send

from airflow_rest_api.services import errors
from airflow_rest_api.services.files.downloads import Download
from airflow_rest_api.web import exchange
from airflow_rest_api.web.following import Followed, Following, Look

_WITHOUT_BODY = (204, 304)
# Calls that may wait for a thread; at some hundred requests a second the last of them waits for ten seconds.
MOST_WAITING = 4000
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Stream:
    """The parts of an answer that is made while it is sent, and what to call afterwards in any case."""

    parts: Iterator[bytes]
    close: Callable[[], None]


@dataclass(frozen=True)
class _Answer:
    """What the WSGI application answered: ``content``, a ``stream``, or what is to be ``followed``."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes = b""
    stream: _Stream | None = None
    followed: Followed | None = None


class Overloaded(errors.Unavailable):
    """More requests wait for a worker thread than will be served while anybody still waits for the answer."""

    title = "The service is overloaded"

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting; try again shortly.", retry_after=1)


class Workers:
    """The threads in which all blocking work of the service runs; a bounded number of calls waits for them."""

    def __init__(self, threads: int, most_waiting: int = MOST_WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest-api")
        self._places = threading.BoundedSemaphore(threads + most_waiting)

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``function`` in a worker thread, with the context variables of the caller; raises `Overloaded`."""
        if not self._places.acquire(blocking=False):
            raise Overloaded
        context = contextvars.copy_context()
        call = self._pool.submit(context.run, function, *arguments)
        # Not when the caller goes: what has begun keeps its thread to its end.
        call.add_done_callback(self._leave)
        return await asyncio.wrap_future(call)

    def _leave(self, _: Future[Any]) -> None:
        self._places.release()

    def start(self, function: Callable[[], None]) -> None:
        """Run ``function`` in a worker thread, of which nobody waits for the end."""
        self._pool.submit(function)


async def _once(_: exchange.Exchange, __: Receive, ask: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
    return await ask()


Asked = Callable[[exchange.Exchange, Receive, Callable[[], Awaitable[_Answer]]], Awaitable["_Answer | None"]]


class Bridge:
    """An ASGI application that runs a WSGI application in the workers."""

    def __init__(
        self,
        application: WSGIApplication,
        workers: Workers,
        without_blocking: AbstractSet[str] = frozenset(),
        asked: Asked = _once,
        look: Look = list,
    ) -> None:
        """Take the operations ``without_blocking``, which are run on the loop, and who decides how often to ask.

        To ``look`` is to tell which of the sources that are followed have something.
        """
        self._application = application
        self._workers = workers
        self._without_blocking = without_blocking
        self._asked = asked
        self._following = Following(look, workers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        body, current = await _read(receive), exchange.of(scope)

        async def ask() -> _Answer:
            environ = _environ(scope, body)
            if current.operation_id in self._without_blocking:
                return _run(self._application, environ)
            return await self._workers.run(_run, self._application, environ)

        answer = await self._asked(current, receive, ask)
        if answer is None:
            return  # to nobody: the client has gone
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        if answer.followed is not None:
            await self._follow(answer.followed, start, receive, send, only_head=current.is_head)
        elif answer.stream is None:
            await send(start)
            await send({"type": "http.response.body", "body": answer.content})
        else:
            await self._stream(answer.stream, start, receive, send, only_head=current.is_head)

    async def _follow(
        self, followed: Followed, start: Message, receive: Receive, send: Send, *, only_head: bool
    ) -> None:
        if only_head:
            self._workers.start(followed.source.close)
            await send(start)
            await send({"type": "http.response.body"})
            return
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await self._following.follow(followed, start, gone, send)
        finally:
            gone.cancel()

    async def _stream(
        self, stream: _Stream, start: Message, receive: Receive, send: Send, *, only_head: bool
    ) -> None:
        """Send part by part, until the client goes: servers swallow what is sent to nobody.

        The head waits for the first part, so that a fault in making that one is still answered as such; who wants
        ``only_head`` gets no further part.
        """
        gone = asyncio.ensure_future(disconnected(receive))
        step: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        step.set_result(None)
        try:
            more, head = True, [start]
            while more and not gone.done():
                step = asyncio.ensure_future(self._workers.run(next, stream.parts, None))
                part = await asyncio.shield(step)
                more = part is not None and not only_head
                body = {"type": "http.response.body", "body": part or b"", "more_body": more}
                for message in (*head, body):
                    await send(message)
                head = []
        finally:
            gone.cancel()
            # Nothing is awaited here, where a cancelled task may not wait; and no iterator is closed in mid-step.
            step.add_done_callback(lambda _: self._workers.start(stream.close))


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; to be called when the body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _run(application: WSGIApplication, environ: dict[str, Any]) -> _Answer:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        started[:] = [status, headers]

    iterable = application(environ, start_response)
    status, headers = int(started[0].split(" ", 1)[0]), [_encoded(*header) for header in started[1]]
    if isinstance(iterable, Followed):
        return _Answer(status, headers, followed=iterable)
    close = getattr(iterable, "close", _nothing)
    has_length = any(name == b"content-length" for name, _ in headers)
    if status not in _WITHOUT_BODY and (isinstance(iterable, Download) or not has_length):
        return _Answer(status, headers, stream=_Stream(iter(iterable), close))
    try:
        return _Answer(status, headers, content=b"".join(iterable))
    finally:
        close()


def _nothing() -> None:
    """Close what needs no closing."""


def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Make the WSGI environment of a request (PEP 3333); `asgi.scope` is what Connexion looks for."""
    root = scope.get("root_path", "")
    host, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _latin(root),
        "PATH_INFO": _latin(scope["path"].removeprefix(root)),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for name, value in scope["headers"]:
        _add_header(environ, name.decode("latin-1"), value.decode("latin-1"))
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _latin(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _add_header(environ: dict[str, Any], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    environ[key] = f"{environ[key]},{value}" if key in environ else value
