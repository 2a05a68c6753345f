"""DAG: the list, and pausing all that are chosen."""

from __future__ import annotations

import pytest
from airflow.models.dag import DagModel, DagTag
from airflow.utils.session import create_session
from sqlalchemy import update

from tests.support import readers
from tests.support.readers import READER

MOMENTS = [
    "2025-12-15T00:00:00Z",
    "2026-01-07T00:00:00Z",
    "2026-01-08T12:00:00+02:00",
    "2036-01-01T00:00:00Z",
]
ORDERS = ["dag_id", "dag_display_name", "next_dagrun", "last_run_state", "last_run_start_date"]


@pytest.fixture
def one_reader(monkeypatch):
    """`READER` may read and change two DAGs, one of them in a file with another."""
    readers.restrict(monkeypatch, {"etl", "makes_assets"})


def by_id(answer):
    """Airflow answers `patch_dags` in no order; ours goes by id."""
    return {**answer, "dags": sorted(answer["dags"], key=lambda dag: dag["dag_id"])}


def ids(response):
    return [dag["dag_id"] for dag in response.json()["dags"]]


class TestGetDags:
    def test_the_whole_answer_is_airflows(self, parity):
        ours, theirs = parity("GET", "/dags")
        assert ours.json()["total_entries"] > 10
        assert list(ours.json()["dags"][0]) == list(theirs.json()["dags"][0])

    @pytest.mark.parametrize(
        "params",
        [
            {"exclude_stale": False},
            {"exclude_stale": "true"},
            {"paused": True},
            {"paused": False},
            {"has_import_errors": True},
            {"has_import_errors": False},
            {"has_import_errors": True, "exclude_stale": False},
            {"tags": "nightly"},
            {"tags": ["nightly", "warehouse"]},
            {"tags": ["nightly", "warehouse"], "tags_match_mode": "any"},
            {"tags": ["nightly", "warehouse"], "tags_match_mode": "all"},
            {"tags": "no such tag"},
            {"tags_match_mode": "all"},
            {"owners": "WAREhouse"},
            {"owners": ["platform", "nobody"]},
            {"owners": "ware_ouse"},
            {"owners": "%"},
            {"owners": "back\\slash"},
            {"dag_id_pattern": "MANUAL"},
            {"dag_id_pattern": "%_delta"},
            {"dag_id_pattern": "etl | mapped"},
            {"dag_id_pattern": "|"},
            {"dag_id_pattern": "~"},
            {"dag_id_pattern": ""},
            {"dag_id_prefix_pattern": "man"},
            {"dag_id_prefix_pattern": "Man"},
            {"dag_id_prefix_pattern": "manual_"},
            {"dag_id_prefix_pattern": "etl|by_"},
            {"dag_id_prefix_pattern": "~"},
            {"dag_display_name_pattern": "warehouse etl"},
            {"dag_display_name_pattern": "manual"},
            {"dag_display_name_prefix_pattern": "Ware"},
            {"dag_display_name_prefix_pattern": "man|Ware"},
            {"bundle_name": "dags-folder"},
            {"bundle_name": "no such bundle"},
            {"bundle_name": ""},
            {"bundle_version": "1"},
            {"has_asset_schedule": True},
            {"has_asset_schedule": False},
            {"asset_dependency": "ORDERS"},
            {"asset_dependency": "s3://warehouse"},
            {"asset_dependency": "order_"},
            {"asset_dependency": "no such asset"},
            {"is_favorite": True},
            {"is_favorite": False},
            {"timetable_type": "airflow.timetables.simple.NullTimetable"},
            {"timetable_type": ["airflow.timetables.simple.NullTimetable", "none"]},
            {"last_dag_run_state": "success"},
            {"last_dag_run_state": "failed"},
            {"dag_run_state": "queued"},
            {"dag_run_state": ["success", "running"]},
            {"dag_run_state": "none"},
            {"dag_run_state": ["none", "failed"]},
            {"paused": False, "tags": "nightly", "last_dag_run_state": "queued"},
        ],
        ids=str,
    )
    def test_each_filter_selects_as_in_airflow(self, parity, params):
        parity("GET", "/dags", params=params)

    @pytest.mark.parametrize("bound", ["gte", "gt", "lte", "lt"])
    @pytest.mark.parametrize("column", ["start", "end"])
    def test_the_dates_of_the_latest_run_select_as_in_airflow(self, parity, column, bound):
        found = {
            len(ids(parity("GET", "/dags", params={f"dag_run_{column}_date_{bound}": moment})[0]))
            for moment in MOMENTS
        }
        assert len(found) > 1

    @pytest.mark.parametrize("direction", ["", "-"])
    @pytest.mark.parametrize("name", ORDERS)
    def test_every_order_is_airflows(self, parity, name, direction):
        ours, _ = parity("GET", "/dags", params={"order_by": f"{direction}{name}", "exclude_stale": False})
        assert len(ids(ours)) > 10

    def test_several_orders_weigh_one_after_the_other(self, parity):
        parity("GET", "/dags", params={"order_by": ["-last_run_state", "next_dagrun", "-dag_id"]})

    @pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1, 0), (3, 2), (1000, 0), (5, 1000), (0, 3)])
    def test_pages_are_airflows_and_count_everything(self, parity, limit, offset):
        ours, _ = parity("GET", "/dags", params={"limit": limit, "offset": offset})
        assert ours.json()["total_entries"] > 10

    def test_favourites_are_the_callers_own(self, parity, v2):
        v2.post("/dags/etl/favorite", role="op")
        try:
            ours, _ = parity("GET", "/dags", params={"is_favorite": True}, role="op")
            assert ids(ours) == ["etl"]
            assert ids(parity("GET", "/dags", params={"is_favorite": True}, role="user")[0]) == []
            assert "etl" not in ids(parity("GET", "/dags", params={"is_favorite": False}, role="op")[0])
        finally:
            v2.post("/dags/etl/unfavorite", role="op")

    @pytest.mark.usefixtures("restored_database")
    def test_odd_rows_are_shaped_as_in_airflow(self, parity):
        odd = {"owners": None, "timetable_summary": "None", "_dag_display_property_value": ""}
        with create_session(scoped=False) as session:
            session.execute(update(DagModel).where(DagModel.dag_id == "mapped").values(odd))
            session.add_all([DagTag(dag_id="mapped", name="Zebra"), DagTag(dag_id="mapped", name="ant")])
        ours, _ = parity("GET", "/dags")
        mapped = next(dag for dag in ours.json()["dags"] if dag["dag_id"] == "mapped")
        assert mapped["owners"] == []
        assert mapped["timetable_summary"] is None
        assert [tag["name"] for tag in mapped["tags"]] == ["Zebra", "ant", "mapped"]

    @pytest.mark.usefixtures("one_reader")
    @pytest.mark.in_process
    @pytest.mark.parametrize(
        "params", [{}, {"order_by": "-last_run_state"}, {"dag_run_start_date_lt": MOMENTS[-1]}]
    )
    def test_a_caller_sees_the_dags_that_may_be_read(self, parity, params):
        ours, _ = parity("GET", "/dags", params=params, role=READER)
        assert set(ids(ours)) <= {"etl", "makes_assets"}
        assert "etl" in ids(ours)

    @pytest.mark.postgres
    @pytest.mark.in_process
    @pytest.mark.parametrize(
        "params",
        [
            *({"order_by": f"{sign}{name}"} for sign in ("", "-") for name in ORDERS),
            {"dag_id_pattern": "MANUAL|etl", "owners": "air", "tags": ["fresh", "nightly"]},
            {"dag_display_name_prefix_pattern": "man", "has_asset_schedule": False},
            {"asset_dependency": "orders"},
            {"dag_run_state": ["none", "success"], "dag_run_start_date_lte": MOMENTS[1]},
            {"is_favorite": False, "timetable_type": "airflow.timetables.simple.NullTimetable"},
        ],
        ids=str,
    )
    def test_postgresql_answers_the_same(self, parity, params):
        parity("GET", "/dags", params=params)

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": -1},
            {"limit": "many"},
            {"offset": -1},
            {"paused": "perhaps"},
            {"tags_match_mode": "some"},
            {"last_dag_run_state": "lost"},
            {"dag_run_state": "lost"},
            {"dag_run_start_date_gte": "yesterday"},
            {"order_by": "no_such_column"},
            {"order_by": ["dag_id"] * 11},
        ],
        ids=str,
    )
    def test_what_airflow_refuses_is_refused(self, parity, params):
        ours, _ = parity("GET", "/dags", params=params)
        assert ours.status_code == 400

    @pytest.mark.parametrize("name", ["state", "start_date"])
    def test_orders_that_airflow_names_and_fails_at_are_refused(self, rest, name):
        assert rest.get("/dags", params={"order_by": name}).status_code == 400

    def test_an_empty_asset_is_refused(self, rest):
        # Stricter than Airflow, where it silently selects the DAGs that wait for any asset (`has_asset_schedule`).
        assert rest.get("/dags", params={"asset_dependency": ""}).status_code == 400

    def test_an_unknown_parameter_is_refused(self, rest):
        # Stricter than Airflow, which passes over a misspelt filter and answers everything.
        assert rest.get("/dags", params={"tag": "nightly"}).status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", "/dags", role=role)


@pytest.mark.postgres
@pytest.mark.in_process
class TestPatchOnPostgresql:
    def test_one_and_many_are_answered_as_in_airflow(self, parity):
        parity("PATCH", "/dags/manual", json={"is_paused": True})
        params = {"dag_id_pattern": "man", "tags": "fresh", "owners": "airflow"}
        ours, _ = parity("PATCH", "/dags", params=params, json={"is_paused": False}, normalise=by_id)
        assert ids(ours) == ["manual"]


@pytest.mark.usefixtures("restored_database")
class TestPatchDags:
    @pytest.mark.parametrize(
        "params",
        [
            {"dag_id_pattern": "manual"},
            {"dag_id_pattern": "~"},
            {"dag_id_pattern": "%", "exclude_stale": False},
            {"dag_id_pattern": "~", "dag_id_prefix_pattern": "man"},
            {"dag_id_pattern": "~", "tags": ["nightly", "warehouse"], "tags_match_mode": "all"},
            {"dag_id_pattern": "~", "owners": "warehouse"},
            {"dag_id_pattern": "no such DAG"},
            {"dag_id_pattern": "manual", "update_mask": "is_paused"},
            {"tags": "nightly"},
            {},
        ],
        ids=str,
    )
    def test_the_whole_answer_is_airflows(self, parity, params):
        parity("PATCH", "/dags", params=params, json={"is_paused": True}, normalise=by_id)

    def test_all_that_are_chosen_change_and_a_page_of_them_is_answered(self, rest, v2):
        params = {"dag_id_pattern": "a", "paused": False, "limit": 1, "offset": 1}
        chosen = ids(v2.get("/dags", params={"dag_id_pattern": "a", "paused": False}))
        others = ids(v2.get("/dags", params={"dag_id_pattern": "etl", "paused": False}))
        answer = rest.patch("/dags", params=params, json={"is_paused": True})
        assert answer.json()["total_entries"] == len(chosen) > 2
        assert ids(answer) == chosen[1:2]
        assert [dag["is_paused"] for dag in answer.json()["dags"]] == [True]
        assert ids(v2.get("/dags", params={"dag_id_pattern": "a", "paused": False})) == []
        assert ids(v2.get("/dags", params={"dag_id_pattern": "etl", "paused": False})) == others

    def test_a_prefix_alone_chooses(self, rest, v2):
        # Airflow's words say that either pattern chooses; its code looks for ids with "None" in them then.
        answer = rest.patch("/dags", params={"dag_id_prefix_pattern": "manual"}, json={"is_paused": True})
        assert ids(answer) == ["manual", "manual_paused"]
        assert v2.get("/dags/manual").json()["is_paused"] is True

    def test_an_empty_pattern_is_refused(self, parity, rest):
        # Stricter than Airflow, where an empty pattern pauses everything; `~` says so in earnest.
        for name in ("dag_id_pattern", "dag_id_prefix_pattern"):
            assert rest.patch("/dags", params={name: ""}, json={"is_paused": True}).status_code == 400

    @pytest.mark.usefixtures("one_reader")
    @pytest.mark.in_process
    def test_only_dags_that_the_caller_may_change_are_chosen(self, parity):
        ours, _ = parity(
            "PATCH",
            "/dags",
            params={"dag_id_pattern": "~"},
            json={"is_paused": True},
            role=READER,
            normalise=by_id,
        )
        assert ids(ours) == ["etl", "makes_assets"]

    @pytest.mark.parametrize(
        ("params", "body"),
        [({"update_mask": "tags"}, {"is_paused": True}), ({}, {}), ({"limit": -1}, {"is_paused": True})],
        ids=str,
    )
    def test_what_airflow_refuses_is_refused(self, parity, params, body):
        ours, _ = parity("PATCH", "/dags", params=params, json=body)
        assert ours.status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("PATCH", "/dags", params={"dag_id_pattern": "manual"}, json={"is_paused": True}, role=role)
