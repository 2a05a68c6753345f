"""The tests of the operations pass against real servers too, in both ways to run the service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment, servers

PROMISES = ["tests/contract/test_access.py", "tests/contract/test_replay.py"]
HANDLERS = sorted(
    str(path.relative_to(environment.ROOT))
    for path in (environment.ROOT / "tests/handlers").glob("test_*.py")
)


def suite(way: str, *, in_full: bool) -> list[str]:
    """What runs against a server: the promises of all operations, and each way a share of the operations' own tests.

    What those look at is behind the door that differs; `--in-full` runs all of them against either.
    """
    ways = list(servers.COMMANDS)
    return [*PROMISES, *(HANDLERS if in_full else HANDLERS[ways.index(way) :: len(ways)])]


def test_every_test_of_an_operation_runs_against_a_server():
    shares = [suite(way, in_full=False) for way in servers.COMMANDS]
    assert {path for share in shares for path in share} == {*PROMISES, *HANDLERS}
    assert suite("standalone", in_full=True) == [*PROMISES, *HANDLERS]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", servers.COMMANDS)
def test_the_suite_passes_against_a_real_server(way, tmp_path, pytestconfig):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts servers of its own")
    with servers.running(way, tmp_path) as server:
        share = suite(way, in_full=pytestconfig.getoption("--in-full"))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *share]
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
