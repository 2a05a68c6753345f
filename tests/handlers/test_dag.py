"""DAG: one DAG, its details, and pausing it."""

from __future__ import annotations

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from itsdangerous import URLSafeSerializer


def without_last_parsed(details):
    """Airflow fills `last_parsed` with the moment at which it read the DAG from the database: never the same twice."""
    return {name: value for name, value in details.items() if name != "last_parsed"}


class TestGetDag:
    @pytest.mark.parametrize(
        "name", ["active", "paused", "mapped", "versioned", "stale", "broken", "scheduler_only", "by_asset"]
    )
    def test_the_whole_answer_is_airflows(self, parity, scenario, name):
        ours, theirs = parity("GET", f"/dags/{getattr(scenario, name)}")
        assert list(ours.json()) == list(theirs.json())

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        ours, _ = parity("GET", f"/dags/{scenario.missing}")
        assert ours.json()["dag_id"] == scenario.missing

    @pytest.mark.usefixtures("restored_database")
    def test_a_dag_that_was_never_serialised_is_not_found(self, parity):
        with create_session(scoped=False) as session:
            session.add(DagModel(dag_id="half", bundle_name="dags-folder", fileloc="half.py"))
        ours, _ = parity("GET", "/dags/half")
        assert ours.status_code == 404

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, scenario, role):
        parity("GET", f"/dags/{scenario.active}", role=role)
        parity("GET", f"/dags/{scenario.missing}", role=role)


# What Airflow itself answers as `concurrency` is deprecated.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
class TestGetDagDetails:
    @pytest.mark.parametrize(
        "name",
        ["active", "paused", "mapped", "versioned", "stale", "scheduler_only", "needs_params", "by_asset"],
    )
    def test_the_whole_answer_is_airflows_but_for_the_time_of_reading(self, parity, scenario, name):
        ours, theirs = parity(
            "GET", f"/dags/{getattr(scenario, name)}/details", normalise=without_last_parsed
        )
        assert list(ours.json()) == list(theirs.json())

    def test_last_parsed_tells_when_the_file_was_parsed(self, rest, scenario):
        details = rest.get(f"/dags/{scenario.active}/details").json()
        assert details["last_parsed"] == details["last_parsed_time"] is not None

    def test_running_runs_are_counted_and_favourites_are_the_callers_own(self, parity, v2, scenario):
        v2.post("/dags/etl/favorite", role="op")
        try:
            path = f"/dags/{scenario.active}/details"
            ours, _ = parity("GET", path, role="op", normalise=without_last_parsed)
            assert ours.json()["is_favorite"] is True
            assert ours.json()["active_runs_count"] > 0
            others, _ = parity("GET", path, role="user", normalise=without_last_parsed)
            assert others.json()["is_favorite"] is False
        finally:
            v2.post("/dags/etl/unfavorite", role="op")

    def test_the_second_answer_is_the_first(self, rest, scenario):
        first, second = (rest.get(f"/dags/{scenario.active}/details") for _ in range(2))
        assert first.content == second.content

    @pytest.mark.usefixtures("restored_database")
    def test_the_link_of_a_bundle_is_rendered(self, parity, scenario):
        link_bundles("https://example.com/{version}")
        ours, _ = parity("GET", f"/dags/{scenario.active}/details", normalise=without_last_parsed)
        assert ours.json()["latest_dag_version"]["bundle_url"] == "https://example.com/None"

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("GET", f"/dags/{scenario.missing}/details")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, scenario, role):
        parity("GET", f"/dags/{scenario.active}/details", role=role, normalise=without_last_parsed)


@pytest.mark.usefixtures("restored_database")
class TestPatchDag:
    @pytest.mark.parametrize("is_paused", [True, False])
    def test_the_whole_answer_is_airflows(self, parity, v2, is_paused):
        ours, _ = parity("PATCH", "/dags/manual", json={"is_paused": is_paused})
        assert ours.json()["is_paused"] is is_paused
        assert v2.get("/dags/manual").json()["is_paused"] is is_paused

    def test_a_dag_is_paused_and_unpaused_again(self, rest, v2):
        for is_paused in (True, True, False):
            assert rest.patch("/dags/manual", json={"is_paused": is_paused}).status_code == 200
            assert v2.get("/dags/manual").json()["is_paused"] is is_paused

    def test_the_mask_names_the_field(self, parity, v2):
        parity("PATCH", "/dags/manual", params={"update_mask": "is_paused"}, json={"is_paused": True})
        assert v2.get("/dags/manual").json()["is_paused"] is True

    @pytest.mark.parametrize(
        ("params", "body"),
        [
            ({"update_mask": "description"}, {"is_paused": True}),
            ({"update_mask": ["is_paused", "is_paused"]}, {"is_paused": True}),
            ({"update_mask": ""}, {"is_paused": True}),
            ({}, {}),
            ({}, {"is_paused": None}),
            ({}, {"is_paused": True, "description": "Mine."}),
            ({}, [True]),
        ],
        ids=str,
    )
    def test_what_airflow_refuses_is_refused(self, parity, v2, params, body):
        ours, _ = parity("PATCH", "/dags/manual", params=params, json=body)
        assert ours.status_code == 400
        assert v2.get("/dags/manual").json()["is_paused"] is False

    @pytest.mark.parametrize("value", ["true", 1])
    def test_a_boolean_is_a_boolean(self, rest, value):
        # Stricter than Airflow, which also takes words and numbers: the contract says boolean.
        assert rest.patch("/dags/manual", json={"is_paused": value}).status_code == 400

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("PATCH", f"/dags/{scenario.missing}", json={"is_paused": True})

    @pytest.mark.parametrize("role", [None, "nobody", "viewer", "user", "op"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("PATCH", "/dags/manual", json={"is_paused": True}, role=role)


def link_bundles(template: str) -> None:
    """Give every bundle a page to be looked at, signed as Airflow signs it."""
    from airflow.configuration import conf

    serializer = URLSafeSerializer(conf.get_mandatory_value("core", "fernet_key"))
    with create_session(scoped=False) as session:
        for bundle in session.query(DagBundleModel):
            bundle.signed_url_template = serializer.dumps({"url": template, "bundle_name": bundle.name})
