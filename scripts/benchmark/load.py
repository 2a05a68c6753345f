"""The load generator, a process of its own: some keep-alive connections, each with one request under way.

`python -m benchmark.load` reads a plan as JSON from its standard input and writes what it saw as JSON. It is
written on plain sockets, so that thousands of answers per second take a small part of its core.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

FRESH = "@" * 24
"""Stands in a request for an id that no other request has; as long as that, so Content-Length stays true."""

DRAIN_SECONDS = 120


@dataclass(frozen=True)
class Plan:
    """What to send: `requests` in turn, whole and ready, over `connections`, for `seconds`."""

    port: int
    requests: list[str]
    connections: int
    seconds: float
    status: int
    core: int | None = None


@dataclass(frozen=True)
class Seen:
    """Each answer's time in milliseconds, seconds until the last one, and busy seconds of this process."""

    latencies: list[float]
    elapsed: float
    busy: float


class UnexpectedAnswer(RuntimeError):
    """An answer with another status than planned, or none."""


@dataclass
class Connection:
    """One keep-alive connection and the answer that is coming in over it."""

    peer: socket.socket
    sent: float = 0.0
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes) -> None:
        """Send one request and start its clock."""
        self.buffer.clear()
        self.sent = time.perf_counter()
        self.peer.sendall(request)

    def receive(self, status: bytes) -> bool:
        """Take in what has arrived; whether the answer is complete now."""
        data = self.peer.recv(262144)
        self.buffer += data
        end = answer_end(self.buffer)
        if not data and end is None:
            raise UnexpectedAnswer(f"the server closed the connection after {bytes(self.buffer)[:500]!r}")
        if end is not None and self.buffer[9:12] != status:
            raise UnexpectedAnswer(bytes(self.buffer)[:2000].decode("utf-8", "replace"))
        return end is not None


def answer_end(buffer: bytearray) -> int | None:
    """Where the answer in `buffer` ends, or None while a part of it is missing."""
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head, body = bytes(buffer[:head_end]).lower(), head_end + 4
    marker = head.find(b"\r\ncontent-length:")
    if marker >= 0:
        end = body + int(head[marker + 17 :].split(b"\r\n", 1)[0])
        return end if len(buffer) >= end else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return _chunks_end(buffer, body)
    return body


def _chunks_end(buffer: bytearray, position: int) -> int | None:
    while (line_end := buffer.find(b"\r\n", position)) >= 0:
        size = int(bytes(buffer[position:line_end]).split(b";")[0], 16)
        position = line_end + 2 + size + 2
        if size == 0:
            return position if len(buffer) >= position else None
    return None


def run(plan: Plan) -> Seen:
    """Carry out a plan. Raises UnexpectedAnswer at the first answer that is not as planned."""
    requests = _request_source(plan)
    status = str(plan.status).encode()
    connections = [
        Connection(socket.create_connection(("127.0.0.1", plan.port))) for _ in range(plan.connections)
    ]
    try:
        with selectors.DefaultSelector() as selector:
            return _exchange(connections, selector, requests, status, plan.seconds)
    finally:
        for connection in connections:
            connection.peer.close()


def _exchange(
    connections: list[Connection],
    selector: selectors.BaseSelector,
    requests: Iterator[bytes],
    status: bytes,
    seconds: float,
) -> Seen:
    latencies: list[float] = []
    started, busy = time.perf_counter(), time.process_time()
    for connection in connections:
        connection.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection.peer, selectors.EVENT_READ, connection)
        connection.send(next(requests))
    under_way = len(connections)
    while under_way:
        if time.perf_counter() > started + seconds + DRAIN_SECONDS:
            raise UnexpectedAnswer(
                f"{under_way} requests had no answer after {seconds + DRAIN_SECONDS:.0f} s"
            )
        for key, _ in selector.select(1):
            if not key.data.receive(status):
                continue
            now = time.perf_counter()
            latencies.append((now - key.data.sent) * 1000)
            if now < started + seconds:
                key.data.send(next(requests))
            else:
                selector.unregister(key.fileobj)
                under_way -= 1
    return Seen(latencies, time.perf_counter() - started, time.process_time() - busy)


def _request_source(plan: Plan) -> Iterator[bytes]:
    ready = itertools.cycle([text.encode() for text in plan.requests])
    if FRESH not in plan.requests[0]:
        return ready
    token = secrets.token_hex(6)
    return (
        next(ready).replace(FRESH.encode(), f"{token}{number:012}".encode()) for number in itertools.count()
    )


def main() -> None:
    """Carry out the plan on standard input; an unexpected answer goes to standard error, with exit code 1."""
    plan = Plan(**json.load(sys.stdin))
    if plan.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {plan.core})
    try:
        json.dump(asdict(run(plan)), sys.stdout)
    except (UnexpectedAnswer, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
