"""TaskInstance: the instances of a mapped task."""

from __future__ import annotations

import pytest

from tests.support.task_instances import ORDERS, SHARED_FILTERS, at, name_of


class TestGetMappedTaskInstances:
    @pytest.mark.parametrize("task", ["double", "say"])
    def test_the_whole_answer_is_airflows(self, parity, scenario, task):
        ours, theirs = parity("GET", at(scenario.mapped_run, task, "listMapped"))
        assert ours.json()["total_entries"] == {"double": 3, "say": 4}[task]
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.slow
    @pytest.mark.parametrize("params", SHARED_FILTERS[::2], ids=name_of)
    def test_a_filter_leaves_what_airflow_leaves(self, parity, scenario, params):
        parity("GET", at(scenario.mapped_run, "say", "listMapped"), params=params)

    @pytest.mark.parametrize("order", [sign + name for name in ORDERS for sign in ("", "-")])
    def test_every_order_is_airflows(self, parity, scenario, order):
        parity("GET", at(scenario.mapped_run, "say", "listMapped"), params={"order_by": order})

    @pytest.mark.parametrize("params", [{"limit": 1}, {"limit": 2, "offset": 3}, {"limit": 0}, {"offset": 9}])
    def test_pages_are_cut_as_airflow_cuts_them(self, parity, scenario, params):
        parity("GET", at(scenario.mapped_run, "say", "listMapped"), params=params)

    @pytest.mark.parametrize("run_id", ["manual__2026-01-05T00:00:00+00:00", "no_such_run"])
    def test_a_mapped_task_that_was_not_expanded_has_none(self, parity, run_id):
        # As in Airflow, a run that does not exist has none either.
        ours, _ = parity("GET", f"/dags/mapped/dagRuns/{run_id}/taskInstances/double/listMapped")
        assert (ours.json()["task_instances"], ours.json()["total_entries"]) == ([], 0)

    @pytest.mark.parametrize(
        ("dag_id", "task_id", "kind"),
        [
            ("mapped", "numbers", "task-not-mapped"),
            ("mapped", "x", "task-not-found"),
            ("no_such_dag", "x", "dag-not-found"),
        ],
    )
    def test_what_cannot_be_mapped_is_not_found(self, parity, scenario, dag_id, task_id, kind):
        run_id = scenario.mapped_run.dag_run_id
        ours, _ = parity("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped")
        assert ours.json()["type"].endswith(f":{kind}")

    def test_what_means_nothing_is_refused_as_in_airflow(self, parity, scenario):
        for params in ({"order_by": "hostname"}, {"state": "x"}, {"limit": -1}):
            parity("GET", at(scenario.mapped_run, "say", "listMapped"), params=params)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.mapped_run, "say", "listMapped"), role=role)


class TestGetMappedTaskInstance:
    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_the_whole_answer_is_airflows(self, parity, scenario, index):
        ours, _ = parity("GET", at(scenario.mapped_run, "say", index))
        assert ours.json()["map_index"] == index

    def test_minus_one_is_a_task_that_is_not_mapped(self, parity, scenario):
        parity("GET", at(scenario.mapped_run, "numbers", -1))

    @pytest.mark.parametrize(("task", "index"), [("say", 9), ("double", -1), ("numbers", 0), ("x", 0)])
    def test_what_does_not_exist_is_not_found(self, parity, scenario, task, index):
        parity("GET", at(scenario.mapped_run, task, index))

    @pytest.mark.parametrize("index", ["first", "99999999999"])
    def test_an_index_is_a_number(self, rest, scenario, index):
        # Airflow refuses a word as well (422), and fails on a number that its database does not take.
        assert rest.get(at(scenario.mapped_run, "say", index)).status_code in (400, 404)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", at(scenario.mapped_run, "say", 0), role=role)
