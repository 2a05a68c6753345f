"""Markers of the tests, and the order and groups in which pytest-xdist runs them.

Tests that share a costly server stay on one worker. pytest-xdist's `--dist loadgroup` tells the controller of a test's
group by a suffix of the test's id, which pytest 9.2 no longer takes from where xdist 3.8 writes it: all groups are
silently ignored (pytest-xdist, issue 1386).
"""

from __future__ import annotations

from pathlib import Path

import pytest

OPTION = "loadgroup"
TESTS = Path(__file__).resolve().parents[1]
# Everything in these folders starts processes, or builds many applications.
SLOW_FOLDERS = {"behaviour", "browser", "faults", "plugin", "sandbox", "scripts", "storage", "supervision"}
# The tests of the sandbox look for what its fork server has left behind, so they have one for all.
SANDBOX = "sandbox"
# Groups of many tests that mostly wait, by the seconds that they take.
LONGEST = {"live-postgres": 3000.0, "live-sqlite": 3000.0}


def add_markers(item: pytest.Item) -> None:
    """Mark a test as `live` or `slow` by its folder and its group, and group the slow tests of a module.

    A test with a group shares a costly server, so it is slow. All tests of a slow module use its fixtures, which
    another worker would create a second time.
    """
    folder = item.path.relative_to(TESTS).parts[0]
    if folder == "live":
        item.add_marker(pytest.mark.live)
    elif item.get_closest_marker("postgres"):
        # One worker, one cluster.
        item.add_marker(pytest.mark.xdist_group("postgres"))
    elif folder in SLOW_FOLDERS or item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.slow)
    if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(folder if folder == SANDBOX else _module(item)))


def keep_groups_together(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test with the mark `xdist_group` the suffix that xdist's scheduler looks for, unless it has it.

    With `--no-loadscope-reorder` they are handed out in the order that they get here: those that may take longest
    come first, so that no worker is idle in the end.
    """
    if not getattr(config.option, OPTION, False):
        return
    limits: dict[str, float] = {}
    for item in items:
        name = _group(item) or item.nodeid
        limits[name] = max(_limit(item), limits.get(name, LONGEST.get(name, 0.0)))
    items.sort(key=lambda item: -limits[_group(item) or item.nodeid])
    for item in items:
        suffix = f"@{_group(item)}"
        if suffix != "@" and not item.nodeid.endswith(suffix):
            item._id = type(item.id).parse(item.nodeid + suffix)


def _group(item: pytest.Item) -> str:
    return "_".join(sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}))


def _module(item: pytest.Item) -> str:
    return "-".join(item.path.relative_to(TESTS).with_suffix("").parts)


def _limit(item: pytest.Item) -> float:
    """Return the seconds that a test may take beyond the usual, or 0."""
    limit = item.get_closest_marker("timeout")
    return float(limit.args[0]) if limit and limit.args else 0.0
