"""Schemathesis finds no server error and no breach of the contract (`scripts/fuzz` runs more of it)."""

from __future__ import annotations

import re

import pytest

from tests.support import fuzzing

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
    generated = re.search(r"(\d+) generated", result.report)
    assert generated, result.report[-2000:]
    assert int(generated.group(1)) >= least
