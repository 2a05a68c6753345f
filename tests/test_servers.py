"""Tests of operations pass against real servers too, in both ways to run the service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment, servers

pytestmark = pytest.mark.slow

PROMISES = ["tests/contract/test_access.py", "tests/contract/test_replay.py"]
HANDLERS = sorted(
    str(path.relative_to(environment.ROOT))
    for folder in ("handlers", "legacy")
    for path in (environment.ROOT / "tests" / folder).glob("test_*.py")
)
# What the server takes part in: logins, bodies of every kind, long polling, downloads and legacy calls.
BEHIND_A_SERVER = {
    "mounted": [
        "tests/handlers/test_file.py",
        "tests/handlers/test_security.py",
        "tests/handlers/test_task_instance_log.py",
        "tests/legacy/test_calls.py",
        "tests/legacy/test_security.py",
    ],
    "standalone": [
        "tests/handlers/test_dag_run.py",
        "tests/handlers/test_dag_run_trigger.py",
        "tests/handlers/test_exchange.py",
        "tests/handlers/test_variable.py",
        "tests/legacy/test_run.py",
    ],
}


def suite(way: str, *, in_full: bool) -> list[str]:
    """Return what runs against a server: the promises of all operations, and what the server takes part in.

    `--in-full` runs the tests of all operations. They find the same faults in process.
    """
    return [*PROMISES, *(HANDLERS if in_full else BEHIND_A_SERVER[way])]


def test_what_runs_against_a_server_exists():
    for way in servers.COMMANDS:
        assert set(suite(way, in_full=False)) < set(suite(way, in_full=True)) == {*PROMISES, *HANDLERS}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in servers.COMMANDS]
)
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
