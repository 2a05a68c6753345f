"""Lists of runs: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

ORDERS = (
    *("id", "state", "dag_id", "run_id", "dag_run_id", "logical_date", "partition_date", "run_after"),
    *("start_date", "end_date", "updated_at", "conf", "duration"),
)
BATCH_ORDERS = tuple(name for name in ORDERS if name not in ("partition_date", "duration"))
MIDDLE = "2026-01-07T00:00:00Z"
FILTERS = [
    *(
        {f"{name}_{bound}": MIDDLE}
        for name in ("run_after", "logical_date", "start_date", "end_date")
        for bound in ("gte", "gt", "lte", "lt")
    ),
    {"updated_at_gte": MIDDLE},
    {"updated_at_gt": "2040-01-01T00:00:00Z"},
    {"updated_at_lte": MIDDLE},
    {"updated_at_lt": "2040-01-01T00:00:00Z"},
    {"start_date_lte": "2040-01-01T00:00:00Z"},
    {"end_date_lt": "2040-01-01T00:00:00Z"},
    *({f"duration_{bound}": value} for bound in ("gte", "gt", "lte", "lt") for value in (0, 1795.25, 1e6)),
    {"conf_contains": "example_key"},
    {"conf_contains": "no such thing"},
    {"conf_contains": ""},
    {"run_type": "manual"},
    {"run_type": ["scheduled", "backfill"]},
    {"run_type": ["asset_triggered", "none"]},
    {"state": "success"},
    {"state": ["failed", "running"]},
    {"state": ["none"]},
    {"state": ["none", "queued"]},
    {"dag_version": 1},
    {"dag_version": [1, 2]},
    {"dag_version": 99},
    {"bundle_version": "8f2c1e0"},
    {"bundle_version": ""},
    {"run_id_pattern": "MANUAL"},
    {"run_id_pattern": "%05T%"},
    {"run_id_pattern": "no-logical|backfill"},
    {"run_id_pattern": "|"},
    {"run_id_pattern": "~"},
    {"run_id_prefix_pattern": "manual__2026-01-0"},
    {"run_id_prefix_pattern": "scheduled__|asset"},
    {"run_id_prefix_pattern": "~"},
    {"run_id_prefix_pattern": "__"},
    {"triggering_user_name_pattern": "ADM"},
    {"triggering_user_name_pattern": ""},
    {"triggering_user_name_prefix_pattern": "us"},
    {"triggering_user_name_prefix_pattern": ""},
    {"dag_id_pattern": "map"},
    {"dag_id_prefix_pattern": "e"},
    {"partition_key_pattern": "2026"},
    {"partition_key_pattern": "2026-03-01|2026-03-02"},
    {"partition_key_pattern": "~"},
    {"partition_key_prefix_pattern": "2026-03"},
    {"partition_key_prefix_pattern": "2026-03-01|2026-03-02"},
    {"consuming_asset_pattern": "order"},
    {"consuming_asset_pattern": "%"},
    {"consuming_asset_pattern": ""},
    {"state": "success", "run_type": "manual", "dag_id_pattern": "man", "order_by": "-run_after", "limit": 3},
]


@pytest.fixture(autouse=True)
def partitions(rest):
    """Two runs about partitions, days in Berlin; another test may have brought the database back to without them."""
    from tests.support.runs import new_run

    for number in (1, 2):
        run_id = f"manual__partition-{number}"
        if rest.get(f"/dags/partitioned/dagRuns/{run_id}").status_code == 404:
            new_run(
                "partitioned",
                run_id=run_id,
                partition_key=f"2026-03-0{number}",
                partition_date=datetime(2026, 2, 27 + number - 1, 23, tzinfo=timezone.utc),
                run_after=datetime(2026, 3, number, tzinfo=timezone.utc),
            )


def walk(get, params):
    """Read a list by cursor, forward to its end and back again; answers the ids of every page."""
    pages, cursor, direction = [], "", "next_cursor"
    while True:
        page = get({**params, "cursor": cursor})
        pages.append([(run["dag_id"], run["dag_run_id"]) for run in page["dag_runs"]])
        if page[direction] is None:
            if direction == "previous_cursor":
                return pages
            direction = "previous_cursor"
            if page[direction] is None:
                return pages
        cursor = page[direction]


class TestGetDagRuns:
    @pytest.mark.parametrize(
        "dag_id", ["etl", "example_bash_operator", "mapped", "versioned", "partitioned", "~"]
    )
    def test_it_answers_what_airflow_answers(self, parity, dag_id):
        ours, theirs = parity("GET", f"/dags/{dag_id}/dagRuns")
        assert ours.json()["dag_runs"]
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    @pytest.mark.parametrize("gone", ["manual", None])
    def test_runs_of_a_dag_that_is_gone_do_not_count(self, parity, gone):
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete, text

        with create_session(scoped=False) as session:
            session.execute(text("PRAGMA foreign_keys = OFF"))
            table = DagModel.__table__
            session.execute(delete(table).where(table.c.dag_id == gone if gone else True))
        ours, _ = parity("GET", "/dags/~/dagRuns", params={"limit": 3})
        assert (ours.json()["total_entries"] == 0) == (gone is None)

    @pytest.mark.slow
    @pytest.mark.parametrize("params", FILTERS, ids=str)
    def test_every_filter_keeps_what_airflow_keeps(self, parity, params):
        parity("GET", "/dags/~/dagRuns", params=params)

    @pytest.mark.parametrize("direction", ["", "-"])
    @pytest.mark.parametrize("order", ORDERS)
    def test_every_order_is_airflows(self, parity, order, direction):
        ours, _ = parity("GET", "/dags/~/dagRuns", params={"order_by": direction + order, "limit": 100})
        assert len(ours.json()["dag_runs"]) > 20

    def test_several_orders_weigh_in_their_order(self, parity):
        parity(
            "GET", "/dags/~/dagRuns", params={"order_by": ["-state", "dag_id", "-run_after"], "limit": 100}
        )

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": 0},
            {"limit": 1},
            {"limit": 3, "offset": 2},
            {"limit": 100000},
            {"offset": 3},
            {"offset": 100000},
            {"limit": 0, "cursor": ""},
            {"limit": 5, "cursor": "", "offset": 7},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("dag_id", ["manual", "~"])
    def test_pages_are_cut_like_airflows(self, parity, dag_id, params):
        parity("GET", f"/dags/{dag_id}/dagRuns", params=params)

    @pytest.mark.parametrize("dag_id", ["manual", "~"])
    @pytest.mark.parametrize(
        "order_by",
        [["id"], ["-id"], ["-start_date"], ["end_date", "dag_run_id"], ["state", "-run_after"], ["conf"]],
        ids=str,
    )
    def test_cursors_lead_to_the_end_and_back_like_airflows(self, parity, dag_id, order_by):
        def get(params):
            ours, _ = parity("GET", f"/dags/{dag_id}/dagRuns", params=params)
            return ours.json()

        pages = walk(
            get, {"order_by": order_by, "limit": 7, "run_id_prefix_pattern": "manual__2026|scheduled"}
        )
        assert len(pages) > 2
        assert pages[0] == pages[-1]
        assert all(len(set(page)) == len(page) for page in pages)

    def test_cursors_over_durations_are_airflows(self, parity):
        # SQLite computes a duration with other last digits than Python, so a page may begin with the end of the last.
        page = {"next_cursor": ""}
        for _ in range(3):
            params = {"order_by": ["-duration"], "limit": 7, "cursor": page["next_cursor"]}
            page = parity("GET", "/dags/~/dagRuns", params=params)[0].json()

    @pytest.mark.parametrize("dag_id", ["manual", "~"])
    def test_no_run_is_seen_twice_on_the_way(self, rest, dag_id):
        def get(params):
            return rest.get(f"/dags/{dag_id}/dagRuns", params=params).json()

        params = {"order_by": ["-run_after"], "limit": 5, "run_id_prefix_pattern": "manual__2026"}
        forward = []
        cursor = ""
        while cursor is not None:
            page = get({**params, "cursor": cursor})
            forward += [run["dag_run_id"] + run["dag_id"] for run in page["dag_runs"]]
            cursor = page["next_cursor"]
        assert len(forward) == len(set(forward)) == page["total_entries"]

    @pytest.mark.parametrize("cursor", ["!", "kQ", "gA", "kgEC", "~kgEC", "o2ZvbwE", "~"])
    def test_a_cursor_of_nowhere_is_refused(self, parity, cursor):
        ours, theirs = parity("GET", "/dags/~/dagRuns", params={"cursor": cursor})
        assert theirs.status_code == 400
        assert ours.json()["type"] == "urn:airflow-rest-api:problem:invalid-cursor"

    @pytest.mark.parametrize(
        ("order", "values"), [("id", ["x"]), ("id", [True]), ("id", [1.5]), ("start_date", [5, 5])]
    )
    def test_a_cursor_with_values_of_another_kind_is_refused(self, rest, order, values):
        # Airflow passes them to the database, which fails on most (500).
        from airflow_rest_api.services.lists.ordering import encode_cursor

        answer = rest.get("/dags/~/dagRuns", params={"order_by": order, "cursor": encode_cursor(values)})
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:airflow-rest-api:problem:invalid-cursor"

    @pytest.mark.parametrize(
        "params",
        [
            {"partition_date_gte": "2026-02-28"},
            {"partition_date_gte": "2026-03-01"},
            {"partition_date_lte": "2026-02-28"},
            {"partition_date_lte": "2026-02-27"},
            {"partition_date_gte": "2026-02-28", "partition_date_lte": "2026-03-01"},
            {"partition_date_gte": "2026-03-01", "partition_date_lte": "2026-03-01", "cursor": ""},
            {"partition_date_gte": "2026-02-28T00:00:00Z", "partition_date_lte": "2026-02-28T00:00"},
            {"partition_date_lte": "2026-02-28T00:00:00.000+02:00"},
            {"partition_date_lte": "2026-02-28 00:00:00+0200"},
        ],
        ids=str,
    )
    def test_days_of_partitions_are_those_of_the_timetable(self, parity, params):
        parity("GET", "/dags/partitioned/dagRuns", params=params)

    def test_the_first_day_of_partitions_holds_one_run(self, rest):
        days = {"partition_date_gte": "2026-02-28", "partition_date_lte": "2026-02-28"}
        answer = rest.get("/dags/partitioned/dagRuns", params=days)
        assert [run["partition_key"] for run in answer.json()["dag_runs"]] == ["2026-03-01"]

    def test_the_error_names_what_to_send(self, rest):
        answer = rest.get("/dags/partitioned/dagRuns", params={"partition_date_gte": "2026-02-28T07:00:00Z"})
        assert answer.json()["detail"] == (
            "The query parameter 'partition_date_gte': "
            "Must be a date, for example 2026-01-31, or a date-time at midnight."
        )

    @pytest.mark.parametrize("dag_id", ["~", "etl"])
    def test_days_of_partitions_need_a_dag_with_partitions(self, parity, dag_id):
        ours, theirs = parity("GET", f"/dags/{dag_id}/dagRuns", params={"partition_date_gte": "2026-01-01"})
        assert theirs.status_code == 400
        assert ours.json()["type"] == "urn:airflow-rest-api:problem:partition-days-need-dag"

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": -1},
            {"offset": -1},
            {"limit": "x"},
            {"order_by": "colour"},
            {"order_by": ["id"] * 11},
            {"order_by": ""},
            {"state": "unheard-of"},
            {"run_type": "unheard-of"},
            {"dag_version": "one"},
            {"run_after_gte": "yesterday"},
            {"duration_gt": "long"},
            {"partition_date_gte": "2026-13-01"},
            {"partition_date_gte": "2026-12-01T00:00:01Z"},
            {"partition_date_lte": "2026-12-01T00"},
            {"partition_date_lte": "20261201"},
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, parity, params):
        ours, _ = parity("GET", "/dags/etl/dagRuns", params=params)
        assert ours.status_code == 400

    def test_an_unknown_parameter_is_refused(self, rest):
        # Airflow passes over it, and the caller wonders about the filter that has no effect.
        answer = rest.get("/dags/etl/dagRuns", params={"sate": "success"})
        assert answer.status_code == 400
        assert "'sate'" in answer.json()["detail"]

    @pytest.mark.parametrize("params", [{}, {"cursor": ""}, {"partition_date_gte": "2026-01-01"}], ids=str)
    def test_a_dag_that_does_not_exist_is_not_found(self, parity, scenario, params):
        ours, _ = parity("GET", f"/dags/{scenario.missing}/dagRuns", params=params)
        assert ours.status_code == 404

    def test_a_stale_dag_still_has_its_runs(self, parity, scenario):
        ours, _ = parity("GET", f"/dags/{scenario.stale}/dagRuns")
        assert ours.json()["total_entries"] == 1

    @pytest.mark.parametrize("dag_id", ["etl", "~"])
    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200), ("user", 200)]
    )
    def test_who_may_read_it(self, parity, dag_id, role, status):
        ours, _ = parity("GET", f"/dags/{dag_id}/dagRuns", role=role)
        assert ours.status_code == status

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        "order_by", [[f"-{order}"] for order in ORDERS] + [["conf", "-duration"]], ids=str
    )
    def test_on_postgresql_orders_and_cursors_are_airflows_too(self, parity, order_by):
        def get(params):
            ours, _ = parity("GET", "/dags/~/dagRuns", params=params)
            return ours.json()

        pages = walk(get, {"order_by": order_by, "limit": 9})
        assert pages[0] == pages[-1]

    @pytest.mark.postgres
    def test_on_postgresql_filters_keep_what_airflow_keeps(self, parity):
        for params in FILTERS:
            parity("GET", "/dags/~/dagRuns", params=params)


class TestGetListDagRunsBatch:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"dag_ids": []},
            {"dag_ids": ["etl", "manual"]},
            {"dag_ids": ["none"]},
            {"states": []},
            {"states": ["failed", "queued"]},
            {"states": [None, "success"]},
            {"states": [None]},
            *(
                {f"{name}_{bound}": MIDDLE}
                for name in ("run_after", "logical_date", "start_date", "end_date")
                for bound in ("gte", "gt", "lte", "lt")
            ),
            *({f"duration_{bound}": value} for bound in ("gte", "gt", "lte", "lt") for value in (0, 1795.25)),
            {"conf_contains": "limit"},
            {"conf_contains": None, "dag_ids": None, "states": None, "order_by": None, "run_after_gte": None},
            {"page_limit": 3, "page_offset": 4},
            {"page_limit": 0},
            {"page_limit": 100000, "order_by": "-dag_run_id"},
            {"dag_ids": ["etl"], "states": ["success"], "run_after_gte": "2026-01-01T00:00:00+02:00"},
        ],
        ids=str,
    )
    def test_it_answers_what_airflow_answers(self, parity, body):
        parity("POST", "/dags/~/dagRuns/list", json=body)

    @pytest.mark.parametrize("direction", ["", "-"])
    @pytest.mark.parametrize("order", BATCH_ORDERS)
    def test_every_order_is_airflows(self, parity, order, direction):
        ours, _ = parity("POST", "/dags/~/dagRuns/list", json={"order_by": direction + order})
        assert len(ours.json()["dag_runs"]) > 20

    @pytest.mark.parametrize(
        "body",
        [
            {"order_by": "duration"},
            {"order_by": "colour"},
            {"page_limit": -1},
            {"page_offset": -1},
            {"states": ["unheard-of"]},
            {"dag_ids": "etl"},
            {"run_after_gte": "yesterday"},
            {"run_after_gte": "2026-01-01T00:00:00"},
            {"colour": "blue"},
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, parity, body):
        ours, _ = parity("POST", "/dags/~/dagRuns/list", json=body)
        assert ours.status_code == 400

    def test_it_takes_no_single_dag(self, parity):
        ours, theirs = parity("POST", "/dags/etl/dagRuns/list", json={}, refused_as={422: 400})
        assert theirs.status_code == 422
        assert ours.status_code == 400

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_may_read_it(self, parity, role, status):
        ours, _ = parity("POST", "/dags/~/dagRuns/list", json={}, role=role)
        assert ours.status_code == status
