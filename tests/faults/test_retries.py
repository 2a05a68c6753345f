"""Retries make one effect (`scripts/faults retries` makes more of them), on both databases and over a kill."""

from __future__ import annotations

import pytest

from tests.faults import retries


@pytest.mark.in_process
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("postgres")
def test_a_repeated_call_has_one_effect_and_one_answer():
    figures = retries.run(full=False)
    assert {figures[name] for name in figures if name.endswith("runs made")} == {1}
    assert len(figures) == 2 * 7
