"""Schemathesis finds no server error and no breach of the contract (`scripts/fuzz` runs more of it)."""

from __future__ import annotations

import re

import pytest

from tests.support import fuzzing


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("contract", "cases", "least"),
    [
        pytest.param("openapi", 10, 1000, id="v1", marks=pytest.mark.xdist_group("fuzz")),
        pytest.param("legacy", 1, 1000, id="old", marks=pytest.mark.xdist_group("fuzz-old")),
    ],
)
def test_a_thousand_generated_requests_keep_the_contract(tmp_path, pytestconfig, contract, cases, least):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    result = fuzzing.run(cases, tmp_path, contract=contract)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    generated = re.search(r"(\d+) generated", result.stdout)
    assert generated, result.stdout[-2000:]
    assert int(generated.group(1)) >= least
