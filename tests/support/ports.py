"""Ports: when a server that a test starts listens on its own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from benchmark import processes

START_SECONDS = 20


def await_listener(server: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    """Wait until the server's port can be connected to. Raises ProcessEnded where it never can."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise processes.ProcessEnded(f"{name} did not start:\n{processes.last_lines(log)}")
