"""EventLog: the list and single entries."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import insert, select

from airflow_rest_api.services.lists import ordering
from tests.support import readers, walks
from tests.support.readers import READER

ORDERS = [
    *(
        "id",
        "event_log_id",
        "dttm",
        "when",
        "dag_id",
        "task_id",
        "run_id",
        "event",
        "logical_date",
        "owner",
        "extra",
    ),
]
# The scenario's own entries: the calls of other tests leave theirs, and more of them than one page holds.
OF_THE_SCENARIO = {"before": "2026-02-01T00:00:00Z"}
# A cursor cannot hold what has no bound.
ORDERS_BY_CURSOR = [name for name in ORDERS if name != "extra"]


def name_of(params):
    return "&".join(f"{name}={value}" for name, value in params.items())


def entry_of(dag_id):
    """The number of an entry that speaks of this DAG."""
    with create_session(scoped=False) as session:
        return session.scalar(select(Log.id).where(Log.dag_id == dag_id).order_by(Log.id).limit(1))


def numbers(page):
    return [entry["event_log_id"] for entry in page["event_logs"]]


def walked(rest, params):
    """The numbers of a list that is read by cursor, page by page; the way back has to show the same."""

    def read(cursor):
        answer = rest.get("/eventLogs", params={**params, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        return answer.json()

    there, back = walks.there_and_back(read)
    assert [numbers(page) for page in back] == [numbers(page) for page in there[:-1]]
    assert {page["total_entries"] for page in [*there, *back]} == {sum(map(len, map(numbers, there)))}
    return [numbers(page) for page in there]


def assert_cursor_refused(answer):
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:airflow-rest-api:problem:invalid-cursor"


def cut(entries, length):
    return [entries[start : start + length] for start in range(0, len(entries), length)]


@pytest.fixture
def one_reader(monkeypatch):
    """`READER` may read one DAG."""
    readers.restrict(monkeypatch, {"etl"})


class TestGetEventLogs:
    def test_the_whole_answer_is_airflows(self, parity):
        ours, theirs = parity("GET", "/eventLogs")
        entries = ours.json()["event_logs"]
        assert {"Warehouse ETL", None} < {entry["dag_display_name"] for entry in entries}
        assert any(entry["task_display_name"] for entry in entries)
        assert list(entries[0]) == list(theirs.json()["event_logs"][0])

    @pytest.mark.parametrize(
        "params",
        [
            {"dag_id": "etl"},
            {"dag_id": ""},
            {"task_id": "load.orders"},
            {"run_id": "scheduled__2026-01-06T01:30:00+00:00"},
            {"map_index": -1},
            {"try_number": 2},
            {"owner": "op"},
            {"event": "patch_dag"},
            {"excluded_events": ["running", "failed"]},
            {"included_events": ["patch_dag", "cli_migratedb"]},
            {"included_events": "running", "excluded_events": "running"},
            {"before": "2026-01-05T00:14:00Z"},
            {"after": "2026-01-05T01:14:00+01:00"},
            {"after": "2026-01-05T00:07:00Z", "before": "2026-01-05T00:30:00Z"},
            *({f"{name}_pattern": "a"} for name in ("dag_id", "task_id", "run_id", "owner", "event")),
            {"event_pattern": "PATCH|cli"},
            {"owner_pattern": "~"},
            {"dag_id_prefix_pattern": "et|man"},
            {"task_id_prefix_pattern": "load."},
            {"run_id_prefix_pattern": "scheduled__2026"},
            {"owner_prefix_pattern": "~"},
            {"event_prefix_pattern": "Patch"},
        ],
        ids=name_of,
    )
    def test_a_filter_leaves_what_airflow_leaves(self, parity, params):
        parity("GET", "/eventLogs", params=params)

    @pytest.mark.parametrize("order", [sign + name for name in ORDERS for sign in ("", "-")])
    def test_every_order_is_airflows(self, parity, order):
        parity("GET", "/eventLogs", params={"order_by": order})

    def test_orders_of_several_attributes_are_airflows(self, parity):
        parity("GET", "/eventLogs", params={"order_by": ["event", "-when"]})

    @pytest.mark.parametrize(
        "params", [{"limit": 0}, {"limit": 3}, {"limit": 3, "offset": 5}, {"offset": 999}]
    )
    def test_pages_are_cut_as_airflow_cuts_them(self, parity, params):
        parity("GET", "/eventLogs", params=params)

    @pytest.mark.parametrize(
        "params",
        [
            {"order_by": "owner_display_name"},
            {"order_by": ["id"] * 11},
            {"limit": -1},
            {"before": "yesterday"},
            {"map_index": "x"},
        ],
        ids=name_of,
    )
    def test_what_means_nothing_is_refused_as_in_airflow(self, parity, params):
        ours, _ = parity("GET", "/eventLogs", params=params)
        assert ours.status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user", "op"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, role):
        parity("GET", "/eventLogs", role=role)
        parity("GET", "/eventLogs", params={"dag_id": "etl"}, role=role)

    @pytest.mark.in_process
    @pytest.mark.usefixtures("one_reader")
    def test_a_caller_sees_what_concerns_no_dag_or_one_that_they_may_read(self, parity):
        ours, _ = parity("GET", "/eventLogs", role=READER)
        assert {entry["dag_id"] for entry in ours.json()["event_logs"]} == {"etl", None}
        assert parity("GET", "/eventLogs", params={"dag_id": "mapped"}, role=READER)[0].status_code == 403

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_an_entry_without_a_time_is_left_out(self, parity):
        with create_session(scoped=False) as session:
            session.execute(insert(Log.__table__).values(event="from_before", dttm=None))
        ours, _ = parity("GET", "/eventLogs", params={"event": "from_before"})
        assert ours.json()["total_entries"] == 0

    def test_without_a_cursor_nothing_is_told_of_cursors(self, parity):
        ours, _ = parity("GET", "/eventLogs", params={"limit": 1})
        assert list(ours.json()) == ["event_logs", "total_entries"]

    def test_the_whole_answer_by_cursor_is_the_page_and_where_to_go_on(self, rest):
        by_offset = rest.get("/eventLogs", params={"limit": 2, "offset": 2}).json()
        first = rest.get("/eventLogs", params={"limit": 2, "cursor": ""}).json()
        second = rest.get("/eventLogs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        at, end = second["event_logs"][0]["event_log_id"], second["event_logs"][1]["event_log_id"]
        assert second == {
            **by_offset,
            "total_entries_limit": 50_000,
            "next_cursor": ordering.encode_cursor([end]),
            "previous_cursor": ordering.encode_cursor([at], backward=True),
        }
        assert first["previous_cursor"] is None

    @pytest.mark.parametrize("order", [sign + name for name in ORDERS_BY_CURSOR for sign in ("", "-")])
    def test_a_walk_by_cursor_forward_and_back_shows_every_entry_in_its_order(self, rest, order):
        params = {**OF_THE_SCENARIO, "order_by": order}
        everything = numbers(rest.get("/eventLogs", params={**params, "limit": 100}).json())
        assert len(everything) > 10
        assert walked(rest, {**params, "limit": 4}) == cut(everything, 4)

    @pytest.mark.parametrize("orders", [["event", "-when"], ["-dag_id", "task_id", "-id"]], ids=str)
    def test_a_walk_by_cursor_keeps_an_order_of_several_attributes(self, rest, orders):
        params = {**OF_THE_SCENARIO, "order_by": orders}
        everything = numbers(rest.get("/eventLogs", params={**params, "limit": 100}).json())
        assert walked(rest, {**params, "limit": 3}) == cut(everything, 3)

    @pytest.mark.parametrize(
        "filters",
        [
            {"dag_id": "etl"},
            {"excluded_events": ["running", "failed"]},
            {"after": "2026-01-05T00:07:00Z", "before": "2026-01-05T00:30:00Z"},
            {"event_prefix_pattern": "r|s"},
        ],
        ids=name_of,
    )
    def test_a_walk_by_cursor_keeps_to_the_filters(self, rest, filters):
        params = {**OF_THE_SCENARIO, **filters, "order_by": "-when"}
        kept = numbers(rest.get("/eventLogs", params={**params, "limit": 100}).json())
        pages = walked(rest, {**params, "limit": 2})
        assert pages == cut(kept, 2)
        assert len(pages) > 1

    @pytest.mark.parametrize("params", [{"limit": 0}, {"event": "no_such_event"}], ids=name_of)
    def test_an_empty_page_by_cursor_has_no_cursors(self, rest, params):
        page = rest.get("/eventLogs", params={**params, "cursor": ""}).json()
        assert (page["event_logs"], page["next_cursor"], page["previous_cursor"]) == ([], None, None)

    def test_an_offset_means_nothing_beside_a_cursor(self, rest):
        pages = [
            rest.get("/eventLogs", params={"cursor": "", "limit": 2, "offset": offset}) for offset in (0, 5)
        ]
        assert pages[0].json() == pages[1].json()

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_entries_that_are_written_meanwhile_do_not_shift_a_walk(self, rest):
        params = {"order_by": "-id", "limit": 5}
        before = numbers(rest.get("/eventLogs", params={**params, "limit": 10}).json())
        first = rest.get("/eventLogs", params={**params, "cursor": ""}).json()
        with create_session(scoped=False) as session:
            moment = datetime(2026, 1, 9, tzinfo=timezone.utc)
            session.execute(insert(Log.__table__).values(event="meanwhile", dttm=moment))
        second = rest.get("/eventLogs", params={**params, "cursor": first["next_cursor"]}).json()
        assert numbers(first) + numbers(second) == before

    @pytest.mark.in_process
    @pytest.mark.usefixtures("one_reader")
    def test_a_caller_sees_by_cursor_what_they_see_by_offset(self, rest):
        def read(cursor):
            return rest.get("/eventLogs", params={"limit": 3, "cursor": cursor}, role=READER).json()

        there, back = walks.there_and_back(read)
        assert {entry["dag_id"] for page in [*there, *back] for entry in page["event_logs"]} == {"etl", None}

    @pytest.mark.parametrize("cursor", ["!", "kQ", "gA", "kgEC", "~kgEC", "o2ZvbwE", "~", "not a cursor"])
    def test_a_cursor_of_nowhere_is_refused(self, rest, cursor):
        assert_cursor_refused(rest.get("/eventLogs", params={"cursor": cursor}))

    @pytest.mark.parametrize(
        ("order", "values"),
        [
            ("id", ["x"]),
            ("id", [True]),
            ("id", [1.5]),
            ("id", [2**63]),
            ("when", ["2026-01-05", 5]),
            ("when", [datetime(2026, 1, 5, tzinfo=timezone.utc)]),
            ("dag_id", [5, 5]),
        ],
    )
    def test_a_cursor_of_another_list_or_order_is_refused(self, rest, order, values):
        cursor = ordering.encode_cursor(values)
        assert_cursor_refused(rest.get("/eventLogs", params={"order_by": order, "cursor": cursor}))

    @pytest.mark.parametrize("path", ["/dags/~/dagRuns", "/dags/~/dagRuns/~/taskInstances"])
    def test_a_cursor_of_a_list_in_another_order_is_refused(self, rest, path):
        page = rest.get(path, params={"cursor": "", "limit": 1, "order_by": "-start_date"}).json()
        assert_cursor_refused(rest.get("/eventLogs", params={"cursor": page["next_cursor"]}))

    @pytest.mark.parametrize("order", ["extra", "-extra"])
    def test_the_order_of_what_may_be_too_long_for_a_cursor_is_refused_with_one(self, rest, order):
        answer = rest.get("/eventLogs", params={"order_by": order, "cursor": ""})
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:airflow-rest-api:problem:order-not-allowed"

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200), ("op", 200)])
    def test_who_may_read_by_offset_may_read_by_cursor(self, rest, role, status):
        assert rest.get("/eventLogs", params={"cursor": ""}, role=role).status_code == status
        assert rest.get("/eventLogs", role=role).status_code == status

    @pytest.mark.postgres
    @pytest.mark.parametrize("order", ["id", "-when", "dag_id", "-task_id", "logical_date"])
    def test_on_postgresql_a_walk_by_cursor_shows_every_entry_as_well(self, rest, order):
        params = {**OF_THE_SCENARIO, "order_by": order, "excluded_events": ["failed"]}
        everything = numbers(rest.get("/eventLogs", params={**params, "limit": 100}).json())
        assert walked(rest, {**params, "limit": 4}) == cut(everything, 4)

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        ("value", "status"), [("a\x00b", 400), ("\ud7ff\uffff", 200), ("", 200)], ids=ascii
    )
    def test_on_postgresql_a_cursor_with_a_text_that_it_cannot_hold_is_refused(self, rest, value, status):
        cursor = ordering.encode_cursor([value, 2**62])
        answer = rest.get("/eventLogs", params={"order_by": "event", "cursor": cursor})
        assert answer.status_code == status

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        "params", [{}, {"order_by": "-extra"}, {"event_pattern": "a"}, {"limit": 2, "offset": 1}]
    )
    def test_on_postgresql_the_answer_is_airflows_as_well(self, parity, params):
        parity("GET", "/eventLogs", params=params)


class TestGetEventLog:
    @pytest.mark.parametrize("dag_id", ["etl", "manual", None])
    def test_the_whole_answer_is_airflows(self, parity, dag_id):
        ours, theirs = parity("GET", f"/eventLogs/{entry_of(dag_id)}")
        assert ours.json()["dag_id"] == dag_id
        assert list(ours.json()) == list(theirs.json())

    def test_what_does_not_exist_is_not_found(self, parity):
        ours, _ = parity("GET", "/eventLogs/123456789")
        assert ours.json()["detail"] == "The event log has no entry 123456789."

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_an_entry_without_a_time_is_not_found(self, parity):
        with create_session(scoped=False) as session:
            row = session.execute(insert(Log.__table__).values(event="from_before", dttm=None))
            (number,) = row.inserted_primary_key
        ours, _ = parity("GET", f"/eventLogs/{number}")
        assert ours.status_code == 404

    def test_a_number_is_a_number(self, rest):
        assert rest.get("/eventLogs/first").status_code in (400, 404)

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user", "op"])
    def test_who_may_and_who_may_not_are_the_same(self, parity, role):
        parity("GET", "/eventLogs/123456789", role=role)
        parity("GET", f"/eventLogs/{entry_of('etl')}", role=role)

    @pytest.mark.in_process
    @pytest.mark.usefixtures("one_reader")
    def test_an_entry_of_a_dag_that_the_caller_may_not_read_is_refused(self, parity):
        assert parity("GET", f"/eventLogs/{entry_of('manual')}", role=READER)[0].status_code == 403
        assert parity("GET", f"/eventLogs/{entry_of('etl')}", role=READER)[0].status_code == 200
