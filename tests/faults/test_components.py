"""Whoever is killed, nothing is left of components, and nothing there twice (`scripts/faults components`)."""

from __future__ import annotations

import pytest

from tests.faults import components


@pytest.mark.in_process
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("components")
def test_whoever_is_killed_nothing_is_left_and_nothing_there_twice():
    figures = components.run(full=False)
    assert (figures["orphans"], figures["doubles"], figures["wrong processes signalled"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("counted", "wrong"),
    [({"orphans": 1}, 0), ({"doubles": 1}, 0), ({"late": ["keeper killed"]}, 0), ({}, 1)],
    ids=["orphans", "doubles", "late", "wrong"],
)
def test_what_must_not_be_is_noticed(counted, wrong):
    components.judged(components.Figures(), 0)
    with pytest.raises(AssertionError):
        components.judged(components.Figures(**counted), wrong)
