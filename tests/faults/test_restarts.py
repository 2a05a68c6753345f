"""Many runs are restarted by one call (`scripts/faults restarts` compares the time of a thousand)."""

from __future__ import annotations

import pytest

from tests.faults import restarts


@pytest.mark.in_process
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("restarts")
def test_the_failed_parts_of_many_runs_go_again(restored_database):
    assert restarts.run(full=False)["runs"] == 30


def test_one_call_that_takes_too_long_is_noticed():
    restarts.judged(10, 2)
    with pytest.raises(AssertionError):
        restarts.judged(10, 2.1)
