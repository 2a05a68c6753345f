"""Following: an answer that goes on as long as its source does, and holds no worker thread meanwhile.

A handler returns a source. The bridge hands it over to `Following`, which takes one piece after the other in a worker
thread, sends it before it takes the next (a slow reader makes the source wait, not the memory grow), and sleeps on the
event loop while there is nothing; one look each second tells, for all sources of the loop, which have something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import orjson
from starlette.types import Send

from airflow_rest_api.services import errors
from airflow_rest_api.services.sources import Piece, Source
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.stopping import is_stopping

# The contract's word for what an operation answers to whoever follows: the media type.
EXTENSION = "x-follows"
ARGUMENT = "follow"
POLL_SECONDS = 1.0
# After so long a silence a blank line is sent, at which proxies keep a connection open, and a dead one is noticed.
SILENCE_SECONDS = 15.0
# How often the caller's permission is asked for again.
CHECK_SECONDS = 10.0
MOST_FOLLOWERS = 1000
# How many pieces are taken at once: the other threads are for everybody else.
TAKEN_AT_ONCE = 3


class Threads(Protocol):
    """Where blocking work runs: the workers of `bridge.py`."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run ``function`` in a thread, and return what it returns."""

    def start(self, function: Callable[[], None]) -> None:
        """Run ``function`` in a thread, of which nobody waits for the end."""


Look = Callable[[Iterable[Any]], Iterable[Any]]


class TooManyFollowers(errors.Unavailable):
    """This process has as many followers as it takes."""

    title = "Too many are following"

    def __init__(self) -> None:
        super().__init__("Too many answers are being followed; try again later.", retry_after=30)


class FollowingEnded(Exception):
    """An answer is cut off before its source has ended; the last line that was sent says why."""


@dataclass(frozen=True)
class Followed:
    """A source as an answer: ``clean`` takes secrets out of lines, ``admit`` raises when the caller may no more."""

    source: Source
    clean: Callable[[bytes], bytes]
    admit: Callable[[], None]

    def __iter__(self) -> Iterator[bytes]:
        """Yield nothing: this is no answer to be read, but one to be followed."""
        return iter(())


def media_type(operation: Operation, arguments: Mapping[str, Any]) -> str | None:
    """Return the one media type of an answer that is to be followed, None of any other."""
    return operation.definition.get(EXTENSION) if arguments.get(ARGUMENT) else None


class _Watch:
    """Looks, for all followers of one event loop, which sources have something; at rest when nobody waits."""

    def __init__(self, look: Look, threads: Threads) -> None:
        self._look = look
        self._threads = threads
        self._waiting: dict[Source, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None
        # Made within the loop to which it belongs.
        self.turns = asyncio.Semaphore(TAKEN_AT_ONCE)
        self.followers = 0

    def wait_for(self, source: Source) -> asyncio.Event:
        """Return what is set when the source has something."""
        event = self._waiting[source] = asyncio.Event()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._poll())
        return event

    def forget(self, source: Source) -> None:
        """Look no more at a source."""
        self._waiting.pop(source, None)

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
            sources = list(self._waiting)
            try:
                found = sources if is_stopping() else await self._threads.run(self._look, sources)
            except Exception:  # noqa: S112 - the database is away, or too many wait: there is a next time
                continue
            for source in found:
                if event := self._waiting.pop(source, None):
                    event.set()


class Following:
    """Sends what sources have, each to its own follower."""

    def __init__(self, look: Look, threads: Threads) -> None:
        """Take what tells which sources have something, and where functions run that block."""
        self._look = look
        self._threads = threads
        self._watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()

    async def follow(
        self, followed: Followed, start: Mapping[str, Any], gone: asyncio.Future[None], send: Send
    ) -> None:
        """Send the head, and the source to its end or until the client has gone.

        Raises `TooManyFollowers` before the head, and `FollowingEnded` after it.
        """
        watch = self._watch()
        if watch.followers >= MOST_FOLLOWERS:
            self._threads.start(followed.source.close)
            raise TooManyFollowers
        watch.followers += 1
        try:
            await _Follower(followed, watch, self._threads, gone, send).send_all(start)
        finally:
            watch.followers -= 1
            watch.forget(followed.source)

    def _watch(self) -> _Watch:
        loop = asyncio.get_running_loop()
        if loop not in self._watches:
            self._watches[loop] = _Watch(self._look, self._threads)
        return self._watches[loop]


class _Follower:
    """One client, and what is sent to it."""

    def __init__(
        self, followed: Followed, watch: _Watch, threads: Threads, gone: asyncio.Future[None], send: Send
    ) -> None:
        self._followed = followed
        self._watch = watch
        self._threads = threads
        self._gone = gone
        self._send = send
        self._clock = asyncio.get_running_loop().time
        self._checked = self._sent = self._clock()
        self._step: asyncio.Future[Any] | None = None

    async def send_all(self, start: Mapping[str, Any]) -> None:
        try:
            # A fault in taking the first piece is still answered as such.
            piece = await self._take()
            await self._send(dict(start))
            while True:
                await self._body(piece.content, more=not piece.is_last)
                if piece.is_last or self._gone.done():
                    return
                if not (piece.content or piece.more):
                    await self._wait()
                await self._check()
                piece = await self._take()
        finally:
            self._close_afterwards()

    async def _take(self) -> Piece:
        async with self._watch.turns:
            self._step = asyncio.ensure_future(self._threads.run(self._followed.source.take))
            taken: Piece = await asyncio.shield(self._step)
            return taken

    async def _body(self, content: bytes, *, more: bool) -> None:
        clean = self._followed.clean(content) if content else b""
        await self._send({"type": "http.response.body", "body": clean, "more_body": more})
        self._sent = self._clock()

    async def _wait(self) -> None:
        """Return when the source may have something, or the client has gone."""
        event = self._watch.wait_for(self._followed.source)
        waits: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
        seconds = min(SILENCE_SECONDS, CHECK_SECONDS)
        try:
            while True:
                await asyncio.wait((waits, self._gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if waits.done() or self._gone.done():
                    return
                await self._check()
                if self._clock() - self._sent >= SILENCE_SECONDS:
                    await self._body(b"\n", more=True)
        finally:
            waits.cancel()

    async def _check(self) -> None:
        """Cut the answer off when the server stops, or the caller may not read it any more."""
        if is_stopping():
            await self._cut_off("The server stops; the log may go on.")
        if self._clock() - self._checked < CHECK_SECONDS:
            return
        self._checked = self._clock()
        try:
            await self._threads.run(self._followed.admit)
        except (errors.Denied, errors.Unauthenticated):
            await self._cut_off("You may not read this log any more; it may go on.")
        except errors.Unavailable:
            return

    async def _cut_off(self, why: str) -> None:
        line = orjson.dumps({"timestamp": None, "event": why, "level": "error"}) + b"\n"
        await self._body(line, more=True)
        raise FollowingEnded(why)

    def _close_afterwards(self) -> None:
        """Close the source when no thread is within it; nothing is awaited where a cancelled task may not wait."""
        step = self._step

        if step is None:
            self._threads.start(self._followed.source.close)
        else:
            step.add_done_callback(lambda _: self._threads.start(self._followed.source.close))
