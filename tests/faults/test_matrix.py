"""Permissions are those of `/api/v2` (`scripts/faults matrix` asks more), and a broken check shows."""

from __future__ import annotations

import pytest

from tests.faults import matrix

pytestmark = [pytest.mark.in_process, pytest.mark.timeout(300)]


def test_both_services_refuse_the_same():
    figures = matrix.run(full=False)
    assert figures["cells"] >= 500
    assert figures["simple: operations"] == figures["fab: operations"] >= 37
    assert min(figures["simple: refused by both"], figures["fab: refused by both"]) > 100


@pytest.mark.parametrize(
    ("manager", "fault"),
    [("simple", "reads"), ("fab", "no_dag")],
)
def test_a_broken_check_shows(manager, fault):
    found = matrix.compared(manager, every=False, fault=fault)
    assert found["differing"], f"{manager}, {fault}"
    if fault == "no_dag":
        # The permission for a single DAG is lost, or holds for all: this is what the per-DAG role is for.
        assert {cell["caller"] for cell in found["differing"]} == {"OneDag"}


def test_a_decision_that_is_not_written_down_shows():
    as_written = {name: list(refused) for name, refused in matrix.OWN.items()}
    assert matrix.own_differences(as_written, "fab") == []
    assert matrix.own_differences({**as_written, "get_metrics": []}, "fab")
    assert matrix.own_differences({**as_written, "new_operation": []}, "fab")
    assert matrix.own_differences({"logout": as_written["logout"]}, "fab")
    without = {name: [one for one in refused if "OneDag" not in one] for name, refused in as_written.items()}
    assert matrix.own_differences(without, "simple") == []
    assert matrix.own_differences(without, "fab")
