"""Waiting: `GET …?wait=SECONDS` is answered as soon as the object has come to its end, or when the time is up.

A request that waits holds no thread and no connection to the database: it is asked once, sleeps on the event loop,
and is asked again, permission included, when the one poller of this process has seen the object's end.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from starlette.types import Receive

from airflow_rest_api.web.bridge import Workers, disconnected
from airflow_rest_api.web.contract import Operation
from airflow_rest_api.web.exchange import Exchange
from airflow_rest_api.web.stopping import is_stopping

Answer = TypeVar("Answer")
Key = tuple[Any, ...]
Finished = Callable[[str, Collection[Key], Collection[str]], set[Key]]

ARGUMENT = "wait"
# The contract's word for what an operation can wait for: `{kind, key: [arguments], terminal: [states]}`.
EXTENSION = "x-waits-for"
POLL_SECONDS = 0.5
_NO_INDEX = -1


@dataclass(frozen=True)
class Watched:
    """An object that is waited for, and the states in which the waiting ends."""

    kind: str
    key: Key
    terminal: tuple[str, ...]


def watched(operation: Operation, arguments: Mapping[str, Any], answer: Any) -> Watched | None:
    """Return what a request waits for, None when it does not wait or the answer tells an end already."""
    rule = operation.definition.get(EXTENSION)
    if rule is None or not arguments.get(ARGUMENT) or answer["state"] in rule["terminal"]:
        return None
    key = tuple(arguments.get(name, _NO_INDEX) for name in rule["key"])
    return Watched(rule["kind"], key, tuple(rule["terminal"]))


class Poller:
    """Looks, for all that is waited for on one event loop, whether it has ended; at rest when nobody waits."""

    def __init__(self, finished: Finished, workers: Workers) -> None:
        self._finished = finished
        self._workers = workers
        self._waiting: dict[Watched, set[asyncio.Future[None]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def ended(self, what: Watched) -> None:
        """Return when the object has ended, or the server stops."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[what].add(future)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._poll())
        try:
            await future
        finally:
            self._forget(what, future)

    def _forget(self, what: Watched, future: asyncio.Future[None]) -> None:
        self._waiting[what].discard(future)
        if not self._waiting[what]:
            del self._waiting[what]

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
            if is_stopping():
                self._end(list(self._waiting))
                continue
            for (kind, terminal), found in _by_kind(self._waiting).items():
                await self._wake(kind, terminal, found)

    async def _wake(self, kind: str, terminal: tuple[str, ...], found: Mapping[Key, Watched]) -> None:
        try:
            ended = await self._workers.run(self._finished, kind, list(found), terminal)
        except Exception:
            # The database is away: who waits is told at the end of the time, if it still is.
            return
        self._end(found[key] for key in ended)

    def _end(self, whats: Iterable[Watched]) -> None:
        for what in whats:
            for future in self._waiting.get(what, ()):
                if not future.done():
                    future.set_result(None)


def _by_kind(waiting: Collection[Watched]) -> dict[tuple[str, tuple[str, ...]], dict[Key, Watched]]:
    kinds: dict[tuple[str, tuple[str, ...]], dict[Key, Watched]] = defaultdict(dict)
    for what in waiting:
        kinds[what.kind, what.terminal][what.key] = what
    return kinds


class Waiting:
    """Repeats a request until the object has ended, the time is up, or the server stops."""

    def __init__(self, finished: Finished, workers: Workers) -> None:
        self._finished = finished
        self._workers = workers
        # A server has one loop; a loop that is gone takes its poller with it.
        self._pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, Poller] = WeakKeyDictionary()

    async def asked(
        self, current: Exchange, receive: Receive, ask: Callable[[], Awaitable[Answer]]
    ) -> Answer | None:
        """Return the answer to send, None when the client has gone in the meantime."""
        begin = asyncio.get_running_loop().time()
        answer = await ask()
        if current.watched is None:
            return answer
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            while current.watched is not None:
                left = begin + current.patience - asyncio.get_running_loop().time()
                if is_stopping():
                    left = 0.0
                # What is put off has no answer yet, however long it took until it was.
                if left <= 0 and current.pending is None:
                    break
                await self._until_ended(current.watched, gone, max(left, 0.0))
                if gone.done():
                    return None
                answer = await ask()
        finally:
            gone.cancel()
        return answer

    async def _until_ended(self, what: Watched, gone: asyncio.Future[None], seconds: float) -> None:
        ended = asyncio.ensure_future(self._poller().ended(what))
        try:
            await asyncio.wait({ended, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()

    def _poller(self) -> Poller:
        loop = asyncio.get_running_loop()
        if loop not in self._pollers:
            self._pollers[loop] = Poller(self._finished, self._workers)
        return self._pollers[loop]
