"""Who waits costs next to nothing (`scripts/faults waiting` has more of them wait)."""

from __future__ import annotations

import pytest

from tests.faults import waiting


@pytest.mark.in_process
@pytest.mark.timeout(180)
@pytest.mark.xdist_group("postgres")
def test_waiters_are_answered_soon_after_the_end():
    figures = waiting.run(full=False)
    assert figures["waiters"] == 200


def test_a_late_answer_costly_waiters_and_slow_others_are_noticed():
    quick, late = 0.01, [0.5, 1.6]
    assert waiting.judged(quick, quick, 10, [0.5])
    for idle, busy, growth, lags in (
        (quick, quick, 10, late),
        (quick, quick, 101, [0.5]),
        (quick, 0.05, 10, [0.5]),
    ):
        with pytest.raises(AssertionError):
            waiting.judged(idle, busy, growth, lags)
