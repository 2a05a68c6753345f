"""The tests of the operations pass against real servers too, in both ways to run the service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment, servers

SUITE = ["tests/handlers", "tests/contract/test_access.py", "tests/contract/test_replay.py"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", servers.COMMANDS)
def test_the_suite_passes_against_a_real_server(way, tmp_path, pytestconfig):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts servers of its own")
    with servers.running(way, tmp_path) as server:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE]
        command += ["--service-url", server.url, "--service-home", str(server.home)]
        result = subprocess.run(
            command,
            cwd=environment.ROOT,
            env=environment.inherited() | servers.HASH_SEED,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
