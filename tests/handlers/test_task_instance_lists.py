"""TaskInstance: the lists of a run, of a DAG and of all."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import delete, update

from airflow_rest_api.services.lists import ordering
from tests.support import readers, walks
from tests.support.readers import READER
from tests.support.task_instances import BOUNDS, MOMENTS, ORDERS, SHARED_FILTERS, at, changed, name_of

ALL = "/dags/~/dagRuns/~/taskInstances"
BATCH = f"{ALL}/list"
# Airflow cannot read these of a task instance where it makes a cursor, and fails (500).
NO_CURSOR_IN_AIRFLOW = {"data_interval_start", "data_interval_end"}
LIST_FILTERS = [
    {"task_id": "start"},
    {"task_id": "no_such_task"},
    {"task_display_name_pattern": "nightly"},
    {"task_display_name_prefix_pattern": "Nightly|load"},
    {"task_display_name_prefix_pattern": "start"},
    {"task_display_name_prefix_pattern": "~"},
    {"dag_id_pattern": "map"},
    {"dag_id_prefix_pattern": "m"},
    {"run_id_pattern": "2026-01-06"},
    {"run_id_prefix_pattern": "backfill__|scheduled__"},
    {"run_id_prefix_pattern": "_"},
]


def ids(page):
    return [instance["id"] for instance in page["task_instances"]]


@pytest.fixture
def one_reader(monkeypatch):
    """`READER` may read two DAGs."""
    readers.restrict(monkeypatch, {"etl", "mapped"})


class TestGetTaskInstances:
    def test_the_whole_answer_for_a_run_is_airflows(self, parity, scenario):
        ours, theirs = parity("GET", at(scenario.failed))
        assert ours.json()["total_entries"] == 5
        assert list(ours.json()) == list(theirs.json())
        assert list(ours.json()["task_instances"][0]) == list(theirs.json()["task_instances"][0])

    def test_the_whole_answer_for_all_is_airflows(self, parity):
        ours, _ = parity("GET", ALL, params={"limit": 100})
        assert len(ours.json()["task_instances"]) > 60

    @pytest.mark.parametrize(
        "run", ["mapped_run", "running", "queued", "old_version", "new_version", "backfilled", "example"]
    )
    def test_every_kind_of_run_is_told_as_airflow_tells_it(self, parity, scenario, run):
        parity("GET", at(getattr(scenario, run)))

    @pytest.mark.parametrize("dag_id", ["etl", "mapped", "versioned", "removed"])
    def test_all_runs_of_a_dag_are_listed(self, parity, dag_id):
        ours, _ = parity("GET", f"/dags/{dag_id}/dagRuns/~/taskInstances")
        assert {instance["dag_id"] for instance in ours.json()["task_instances"]} == {dag_id}

    @pytest.mark.slow
    @pytest.mark.parametrize("params", [*SHARED_FILTERS, *LIST_FILTERS], ids=name_of)
    def test_a_filter_leaves_what_airflow_leaves(self, parity, params):
        parity("GET", ALL, params={"limit": 100, **params})

    @pytest.mark.parametrize("params", [*SHARED_FILTERS[:33:4], *LIST_FILTERS], ids=name_of)
    def test_a_filter_works_within_a_run(self, parity, scenario, params):
        parity("GET", at(scenario.mapped_run), params=params)

    def test_filters_add_up(self, parity):
        params = {"state": "success", "dag_id_pattern": "etl", "run_after_gte": "2026-01-06T00:00:00Z"}
        ours, _ = parity("GET", ALL, params=params)
        assert 0 < ours.json()["total_entries"] < 20

    @pytest.mark.parametrize("order", [sign + name for name in ORDERS for sign in ("", "-")])
    def test_every_order_is_airflows(self, parity, order):
        parity("GET", ALL, params={"order_by": order, "limit": 100})

    @pytest.mark.parametrize(
        "orders", [["state", "-start_date"], ["-map_index", "id"], ["id", "state"], ["state", "state", "-id"]]
    )
    def test_orders_of_several_attributes_are_airflows(self, parity, orders):
        parity("GET", ALL, params={"order_by": orders, "limit": 100})

    @pytest.mark.parametrize("limit", [0, 1, 7, 100, 1000])
    @pytest.mark.parametrize("offset", [0, 5, 60, 10_000])
    def test_pages_are_cut_as_airflow_cuts_them(self, parity, limit, offset):
        parity("GET", ALL, params={"limit": limit, "offset": offset})

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "order", [None, "-map_index", "start_date", "-end_date", "state", "rendered_map_index", "-run_after"]
    )
    def test_a_walk_by_cursor_forward_and_back_is_airflows(self, parity, order):
        params = {"limit": 9} | ({"order_by": order} if order else {})

        def read(cursor):
            return parity("GET", ALL, params={**params, "cursor": cursor})[0].json()

        there, back = walks.there_and_back(read)
        pages = [ids(page) for page in there]
        seen = [number for page in pages for number in page]
        assert len(seen) == len(set(seen)) == there[-1]["total_entries"] > 50
        assert [ids(page) for page in back] == pages[:-1]

    @pytest.mark.parametrize("order", sorted(NO_CURSOR_IN_AIRFLOW))
    def test_a_walk_by_cursor_works_in_the_orders_that_airflow_fails_in(self, rest, order):
        params, cursor, seen = {"limit": 20, "order_by": order}, "", []
        while cursor is not None:
            page = rest.get(ALL, params={**params, "cursor": cursor}).json()
            seen += ids(page)
            cursor = page["next_cursor"]
        pages = [
            rest.get(ALL, params={"order_by": order, "limit": 100, "offset": offset}).json()
            for offset in range(0, page["total_entries"], 100)
        ]
        assert seen == [number for page in pages for number in ids(page)]

    def test_a_cursor_works_within_a_run_and_with_filters(self, parity, scenario):
        first, _ = parity(
            "GET", at(scenario.mapped_run), params={"cursor": "", "limit": 2, "state": "success"}
        )
        cursor = first.json()["next_cursor"]
        parity("GET", at(scenario.mapped_run), params={"cursor": cursor, "limit": 2, "state": "success"})

    def test_an_empty_page_by_cursor_has_no_cursors(self, parity):
        parity("GET", ALL, params={"cursor": "", "task_id": "no_such_task"})
        parity("GET", ALL, params={"cursor": "", "limit": 0})

    def test_a_task_group_is_a_filter(self, parity, scenario):
        ours, _ = parity("GET", at(scenario.failed), params={"task_group_id": "load"})
        assert {instance["task_id"] for instance in ours.json()["task_instances"]} == {
            "load.orders",
            "load.customers",
        }
        parity("GET", "/dags/etl/dagRuns/~/taskInstances", params={"task_group_id": "load"})

    def test_an_unknown_task_group_is_not_found(self, parity, scenario):
        parity("GET", at(scenario.failed), params={"task_group_id": "unload"})
        parity("GET", "/dags/etl/dagRuns/~/taskInstances", params={"task_group_id": ""})

    def test_a_task_group_of_all_dags_means_nothing(self, rest, v2):
        # Airflow fails (500).
        assert v2.get(ALL, params={"task_group_id": "load"}).status_code == 500
        answer = rest.get(ALL, params={"task_group_id": "load"})
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "group-needs-dag")

    def test_a_run_means_nothing_without_its_dag(self, parity, scenario):
        ours, _ = parity("GET", f"/dags/~/dagRuns/{scenario.failed.dag_run_id}/taskInstances")
        assert ours.json()["type"].endswith(":run-needs-dag")

    @pytest.mark.parametrize(
        "path", ["/dags/no_such_dag/dagRuns/~", "/dags/no_such_dag/dagRuns/x", "/dags/etl/dagRuns/x"]
    )
    def test_what_does_not_exist_is_not_found(self, parity, path):
        ours, _ = parity("GET", f"{path}/taskInstances")
        assert ours.status_code == 404

    @pytest.mark.parametrize(
        "params",
        [
            {"state": "sleeping"},
            {"state": ""},
            {"order_by": "hostname"},
            {"order_by": ""},
            {"order_by": ["id"] * 11},
            {"limit": -1},
            {"offset": "x"},
            {"map_index": "first"},
            {"start_date_gte": "yesterday"},
            {"duration_lt": "long"},
            {"cursor": "not a cursor"},
            {"cursor": "gaE"},
            {"cursor": "ww"},
        ],
        ids=name_of,
    )
    def test_what_means_nothing_is_refused_as_in_airflow(self, parity, params):
        ours, _ = parity("GET", ALL, params=params)
        assert ours.status_code == 400

    @pytest.mark.parametrize("value", ["x", 1.5, True, [1], {"a": 1}, 2**63, None], ids=str)
    def test_a_cursor_with_a_value_of_another_kind_is_refused(self, rest, value):
        # Airflow hands it to the database, which takes it, or fails (500).
        cursor = ordering.encode_cursor([value, UUID(int=7)])
        answer = rest.get(ALL, params={"cursor": cursor})
        assert answer.status_code == (200 if value is None else 400)

    @pytest.mark.parametrize(
        "values", [[-1, "x"], [-1], [], [datetime(2026, 1, 1, tzinfo=timezone.utc), UUID(int=7)]]
    )
    def test_a_cursor_of_another_order_is_refused(self, rest, values):
        answer = rest.get(ALL, params={"cursor": ordering.encode_cursor(values)})
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "invalid-cursor")

    def test_an_unknown_parameter_is_refused(self, rest):
        # Airflow ignores it, so that a misspelt filter answers everything.
        answer = rest.get(ALL, params={"states": "failed"})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "states")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, scenario, role):
        parity("GET", ALL, role=role)
        parity("GET", at(scenario.failed), role=role)

    @pytest.mark.in_process
    @pytest.mark.usefixtures("one_reader")
    def test_a_caller_sees_the_dags_that_they_may_read(self, parity, scenario):
        ours, _ = parity("GET", ALL, role=READER, params={"limit": 100})
        assert {instance["dag_id"] for instance in ours.json()["task_instances"]} == {"etl", "mapped"}
        parity("GET", ALL, role=READER, params={"limit": 3})
        parity("GET", ALL, role=READER, params={"limit": 3, "state": "success"})
        parity("GET", ALL, role=READER, params={"limit": 3, "cursor": ""})
        assert parity("GET", at(scenario.example), role=READER)[0].status_code == 403

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        "order", [None, "start_date", "-start_date", "rendered_map_index", "logical_date"]
    )
    def test_on_postgresql_pages_and_cursors_are_airflows_as_well(self, parity, order):
        params = {"limit": 11} | ({"order_by": order} if order else {})
        parity("GET", ALL, params={**params, "offset": 30})
        parity("GET", ALL, params={**params, "limit": 100})
        cursor = ""
        while cursor is not None:
            ours, _ = parity("GET", ALL, params={**params, "cursor": cursor})
            cursor, back = ours.json()["next_cursor"], ours.json()["previous_cursor"]
        parity("GET", ALL, params={**params, "cursor": back})

    @pytest.mark.postgres
    @pytest.mark.parametrize("params", [*SHARED_FILTERS[:40:3], *LIST_FILTERS], ids=name_of)
    def test_on_postgresql_filters_are_airflows_as_well(self, parity, params):
        parity("GET", ALL, params={"limit": 100, **params})

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    class TestOddRows:
        def test_an_executor_configuration_is_told_as_python_writes_it(self, parity, new_run):
            run = new_run("manual", task_states={"first": "success"})
            changed(
                run,
                "first",
                executor_config={"KubernetesExecutor": {"image": "busy"}},
                executor="LocalExecutor",
            )
            ours, _ = parity("GET", at(run))
            assert "busy" in str([instance["executor_config"] for instance in ours.json()["task_instances"]])

        def test_an_absent_executor_configuration_is_told_as_in_airflow(self, parity, new_run):
            run = new_run("manual")
            changed(
                run, "first", executor_config=None, dag_version_id=None, custom_operator_name="", queue=None
            )
            parity("GET", at(run))

        def test_the_triggerer_of_a_deferred_task_is_told(self, parity, scenario):
            from airflow.jobs.job import Job

            with create_session(scoped=False) as session:
                job = Job(
                    dag_id="etl", job_type="TriggererJob", state="running", executor_class="LocalExecutor"
                )
                session.add(job)
                session.flush()
                session.execute(update(Trigger).values(triggerer_id=job.id))
            ours, _ = parity("GET", at(scenario.mapped_run, "say", 2))
            assert ours.json()["triggerer_job"]["dag_display_name"] == "Warehouse ETL"

        def test_a_run_whose_version_is_gone_falls_back_on_the_latest(self, parity, scenario):
            with create_session(scoped=False) as session:
                chosen = (DagRun.dag_id == "etl", DagRun.run_id == scenario.failed.dag_run_id)
                session.execute(update(DagRun).where(*chosen).values(created_dag_version_id=None))
            parity("GET", at(scenario.failed))
            parity("GET", at(scenario.failed), params={"task_group_id": "load"})

        @pytest.mark.parametrize("bundle_version", [None, "8f2c1e0"])
        def test_a_dag_that_airflow_has_no_structure_of_is_not_found(self, rest, scenario, bundle_version):
            # As in Airflow, as soon as that has forgotten its copy.
            with create_session(scoped=False) as session:
                chosen = (DagRun.dag_id == "etl", DagRun.run_id == scenario.failed.dag_run_id)
                session.execute(update(DagRun).where(*chosen).values(bundle_version=bundle_version))
                session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == "etl"))
            for params in ({}, {"task_group_id": "load"}):
                answer = rest.get(at(scenario.failed), params=params)
                assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
                    404,
                    "dag-not-found",
                )
            waiting = rest.get(at(scenario.running, "report", "dependencies"))
            assert waiting.json() == {"dependencies": []}


class TestGetTaskInstancesBatch:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"dag_ids": ["etl"], "page_limit": 5},
            {"dag_ids": [], "task_ids": None, "state": []},
            {"dag_run_ids": ["manual__2026-01-02T00:00:00+00:00"]},
            {"task_ids": ["start", "first"], "order_by": "-start_date"},
            {"state": ["success", None]},
            {"state": [None]},
            {"pool": ["default_pool"], "queue": ["slow"], "executor": None},
            {"executor": ["LocalExecutor"]},
            {"page_limit": 3, "page_offset": 4, "order_by": "state"},
            {"page_limit": 0},
            {"page_limit": 1000, "order_by": "-id"},
            {"duration_gte": 1, "duration_lt": 100.5},
            {"duration_lte": 0},
            {"order_by": ""},
            {"order_by": None},
            *(
                {f"{name}_{bound}": moment}
                for name in ("run_after", "logical_date", "start_date", "end_date")
                for bound, moment in zip(BOUNDS, MOMENTS, strict=True)
            ),
        ],
        ids=name_of,
    )
    def test_the_whole_answer_is_airflows(self, parity, body):
        parity("POST", BATCH, json=body)

    @pytest.mark.parametrize("order", ["id", "state", "duration", "start_date", "end_date", "map_index"])
    def test_every_order_is_airflows(self, parity, order):
        parity("POST", BATCH, json={"order_by": order})
        parity("POST", BATCH, json={"order_by": f"-{order}"})

    @pytest.mark.parametrize(
        "body",
        [
            {"order_by": "hostname"},
            {"order_by": "try_number"},
            {"state": ["sleeping"]},
            {"state": ["none"]},
            {"dag_ids": "etl"},
            {"page_limit": -1},
            {"start_date_gte": "2026-01-01T00:00:00"},
            {"start_date_gte": "yesterday"},
            {"limit": 3},
            [],
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused_as_in_airflow(self, parity, body):
        ours, _ = parity("POST", BATCH, json=body)
        assert ours.status_code == 400

    def test_it_is_for_all_dags_and_runs_alone(self, rest, v2):
        # A path with other ids is malformed in Airflow, too (422).
        for path in ("/dags/etl/dagRuns/~/taskInstances/list", "/dags/~/dagRuns/x/taskInstances/list"):
            assert (rest.post(path, json={}).status_code, v2.post(path, json={}).status_code) == (400, 422)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, role):
        parity("POST", BATCH, json={"page_limit": 1}, role=role)

    @pytest.mark.in_process
    @pytest.mark.usefixtures("one_reader")
    def test_a_caller_sees_the_dags_that_they_may_read(self, parity):
        ours, _ = parity("POST", BATCH, json={"dag_ids": ["etl", "example_bash_operator"]}, role=READER)
        assert {instance["dag_id"] for instance in ours.json()["task_instances"]} == {"etl"}
