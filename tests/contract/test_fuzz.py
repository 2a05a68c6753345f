"""Schemathesis finds no server error and no breach of the contract (`scripts/fuzz` runs more of it)."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.support import environment, fuzzing, servers

pytestmark = pytest.mark.slow

# `scripts/fuzz` has all phases.
QUICK = ["--phases", "examples,fuzzing"]
# A POST of an old call takes what a GET takes, and a form besides.
OF_OLD_CALLS = ["--include-method", "POST", *QUICK]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("contract", "cases", "extra", "least"),
    [
        pytest.param("openapi", 10, QUICK, 1000, id="v1", marks=pytest.mark.xdist_group("fuzz")),
        pytest.param("legacy", 20, OF_OLD_CALLS, 400, id="old", marks=pytest.mark.xdist_group("fuzz-old")),
    ],
)
def test_generated_requests_keep_the_contract(tmp_path, pytestconfig, contract, cases, extra, least):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    result = fuzzing.run(cases, tmp_path, *extra, contract=contract)
    assert not result.failures(), f"{result.report[-8000:]}\n{result.shares.table()}"
    if contract == "openapi":
        assert result.shares.without_success() == [], result.shares.table()
    generated = re.search(r"(\d+) generated", result.report)
    assert generated, result.report[-2000:]
    assert int(generated.group(1)) >= least


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("fuzz-outside")
def test_the_configuration_for_users_finds_no_fault(tmp_path, pytestconfig):
    """`docs/schemathesis.toml`, as the README says, with the examples alone: it needs none of our hooks."""
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    with servers.running("standalone", tmp_path, is_covered=False) as server:
        result = subprocess.run(
            [
                *(servers.PROGRAMS / "schemathesis", "--config-file", "docs/schemathesis.toml"),
                *("run", f"{server.url}/rest_api/v1/openapi.json"),
                *("--phases", "examples", "--no-color"),
            ],
            cwd=environment.ROOT,
            env={**os.environ, "TOKEN": fuzzing.login(server.url)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-8000:]
    assert re.search(r"[1-9]\d{2,} generated", result.stdout), result.stdout[-2000:]
