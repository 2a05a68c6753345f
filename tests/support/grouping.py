"""Tests that share a costly server stay on one worker of pytest-xdist.

Its `--dist loadgroup` tells the controller of a test's group by a suffix of the test's id, which pytest 9.2 no longer
takes from where xdist 3.8 writes it: all groups are silently ignored (pytest-xdist, issue 1386).
"""

from __future__ import annotations

import pytest

OPTION = "loadgroup"


def keep_groups_together(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test with the mark `xdist_group` the suffix that xdist's scheduler looks for, unless it has it.

    Groups are handed out first, the largest ahead; of the single tests, those that may take longest.
    """
    if not getattr(config.option, OPTION, False):
        return
    items.sort(key=_patience, reverse=True)
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        suffix = f"@{'_'.join(groups)}"
        if groups and not item.nodeid.endswith(suffix):
            item._id = type(item.id).parse(item.nodeid + suffix)


def _patience(item: pytest.Item) -> float:
    """The seconds that a single test may take beyond the usual: one that came last would leave a worker idle."""
    limit = item.get_closest_marker("timeout")
    return (
        float(limit.args[0])
        if limit and limit.args and item.get_closest_marker("xdist_group") is None
        else 0.0
    )
