"""Sinks: servers that note who dialled them and what was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Sink:
    """What a server on a port of loopback has met: the number of connections, and all that was sent."""

    port: int
    connections: int = 0
    received: bytearray = field(default_factory=bytearray)


@contextmanager
def sink(
    answer: bytes = b"", *, host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM
) -> Iterator[Sink]:
    """A sink that sends ``answer`` to whoever dials it, and closes when the caller has said something."""
    with socket.socket(type=kind) as server:
        server.bind((host, 0))
        met = Sink(server.getsockname()[1])
        if kind == socket.SOCK_STREAM:
            server.listen()
        work = _accept if kind == socket.SOCK_STREAM else _receive
        thread = threading.Thread(target=work, args=(server, met, answer), daemon=True)
        thread.start()
        yield met
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def redirect(port: int) -> bytes:
    """What a server of HTTP says that sends clients on to another port of loopback."""
    return f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode()


def _accept(server: socket.socket, met: Sink, answer: bytes) -> None:
    with suppress(OSError):
        while True:
            found, _ = server.accept()
            met.connections += 1
            with found, suppress(OSError):
                found.settimeout(5)
                met.received += found.recv(65_536)
                found.sendall(answer)


def _receive(server: socket.socket, met: Sink, _: bytes) -> None:
    with suppress(OSError):
        while data := server.recv(65_536):
            met.connections += 1
            met.received += data
