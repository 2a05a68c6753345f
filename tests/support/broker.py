"""A broker of one's own (Redis): with a password, in a folder, open to the loopback address, ended by its id."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmark import processes

from tests.support import canaries, daemons

# Nothing is written to the disk.
CONFIGURATION = """
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
save ""
appendonly no
"""


def require() -> None:
    """Skip the test that asks where Redis is not installed; where `CI` is set it fails."""
    if daemons.find("redis-server") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "missing: redis-server (on Debian: apt-get install redis-server)"
        )


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a broker, and give its URL and its process."""
    require()
    folder.mkdir(parents=True, exist_ok=True)
    port, configuration, log = processes.free_port(), folder / "redis.conf", folder / "redis.log"
    configuration.write_text(
        CONFIGURATION.format(port=port, password=canaries.BROKER_PASSWORD, folder=folder)
    )
    server = processes.start([daemons.program("redis-server"), str(configuration)], log)
    try:
        daemons.wait(server, port, log)
        yield f"redis://:{canaries.BROKER_PASSWORD}@127.0.0.1:{port}/0", server
    finally:
        processes.stop(server)
