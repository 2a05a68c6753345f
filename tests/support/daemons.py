"""Daemons of Debian's that tests run as processes of their own: where they are, and when they listen."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from benchmark import processes

# Debian keeps them beside what is for users.
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
START_SECONDS = 20


def find(name: str) -> str | None:
    """Return where a program is, None where it is not installed."""
    return shutil.which(name, path=PLACES)


def program(name: str) -> str:
    """Return where a program is that has to be there."""
    found = find(name)
    assert found, name
    return found


def wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when a process listens on a port of the loopback address."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise processes.ProcessEnded(f"{server.args} did not start:\n{processes.last_lines(log)}")
