"""Schemathesis finds no server error and no breach of the contract (`scripts/fuzz` runs more of it)."""

from __future__ import annotations

import re

import pytest

from tests.support import fuzzing

LEAST_CASES = 1000


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("fuzz")
def test_a_thousand_generated_requests_keep_the_contract(tmp_path, pytestconfig):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    result = fuzzing.run(10, tmp_path)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    generated = re.search(r"(\d+) generated", result.stdout)
    assert generated, result.stdout[-2000:]
    assert int(generated.group(1)) >= LEAST_CASES
