"""DagVersion: the versions of one DAG and of all."""

from __future__ import annotations

import pytest
from airflow.configuration import conf
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from itsdangerous import URLSafeSerializer
from sqlalchemy import update

from tests.support import readers
from tests.support.readers import READER


@pytest.fixture
def linked_bundles(restored_database):
    """Every bundle has a page to be looked at, signed as Airflow signs it, and each version one of the bundle's."""
    serializer = URLSafeSerializer(conf.get_mandatory_value("core", "fernet_key"))
    with create_session(scoped=False) as session:
        for bundle in session.query(DagBundleModel):
            content = {"url": "https://example.com/{version}", "bundle_name": bundle.name}
            bundle.signed_url_template = serializer.dumps(content)
        session.execute(update(DagVersion).values(bundle_version="8f2c1e0"))


class TestGetDagVersions:
    def test_the_whole_answer_is_airflows(self, parity, scenario):
        ours, theirs = parity("GET", f"/dags/{scenario.versioned}/dagVersions")
        assert [version["version_number"] for version in ours.json()["dag_versions"]] == [1, 2]
        assert list(ours.json()["dag_versions"][0]) == list(theirs.json()["dag_versions"][0])

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"version_number": 2},
            {"version_number": 0},
            {"bundle_name": "dags-folder"},
            {"bundle_name": "no such bundle"},
            {"bundle_version": "8f2c1e0"},
            {"bundle_version": ""},
            {"limit": 2, "offset": 1},
            {"limit": 0},
            {"offset": 1000},
            {"order_by": ["bundle_name", "-version_number"]},
            *({"order_by": f"{sign}{name}"} for sign in ("", "-") for name in ("id", "version_number")),
            *({"order_by": f"{sign}bundle_{name}"} for sign in ("", "-") for name in ("name", "version")),
        ],
        ids=str,
    )
    def test_filters_orders_and_pages_over_all_dags_are_airflows(self, parity, params):
        parity("GET", "/dags/~/dagVersions", params=params)

    @pytest.mark.usefixtures("linked_bundles")
    def test_the_links_of_bundles_are_rendered(self, parity):
        ours, _ = parity("GET", "/dags/~/dagVersions", params={"bundle_version": "8f2c1e0"})
        assert {version["bundle_url"] for version in ours.json()["dag_versions"]} == {
            "https://example.com/8f2c1e0"
        }

    @pytest.mark.in_process
    def test_a_caller_sees_the_versions_of_dags_that_may_be_read(self, parity, monkeypatch):
        readers.restrict(monkeypatch, {"etl", "mapped"})
        ours, _ = parity("GET", "/dags/~/dagVersions", role=READER)
        assert {version["dag_id"] for version in ours.json()["dag_versions"]} == {"etl", "mapped"}

    @pytest.mark.parametrize("params", [{"version_number": "one"}, {"order_by": "created_at"}, {"limit": -1}])
    def test_what_airflow_refuses_is_refused(self, parity, params):
        ours, _ = parity("GET", "/dags/~/dagVersions", params=params)
        assert ours.status_code == 400

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("GET", f"/dags/{scenario.missing}/dagVersions")

    @pytest.mark.parametrize("dag_id", ["~", "etl"])
    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, dag_id, role):
        parity("GET", f"/dags/{dag_id}/dagVersions", role=role)


class TestGetDagVersion:
    @pytest.mark.parametrize("number", [1, 2])
    def test_the_whole_answer_is_airflows(self, parity, scenario, number):
        ours, theirs = parity("GET", f"/dags/{scenario.versioned}/dagVersions/{number}")
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.usefixtures("linked_bundles")
    def test_the_link_of_the_bundle_is_rendered(self, parity, scenario):
        ours, _ = parity("GET", f"/dags/{scenario.versioned}/dagVersions/1")
        assert ours.json()["bundle_url"] == "https://example.com/8f2c1e0"

    @pytest.mark.parametrize("number", [0, 3, -1])
    def test_an_unknown_version_is_not_found(self, parity, scenario, number):
        ours, _ = parity("GET", f"/dags/{scenario.versioned}/dagVersions/{number}")
        assert ours.json()["version_number"] == number

    def test_an_unknown_dag_is_not_found(self, parity, scenario):
        parity("GET", f"/dags/{scenario.missing}/dagVersions/1")

    def test_a_version_that_is_no_number_is_refused(self, parity):
        parity("GET", "/dags/etl/dagVersions/first")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", "/dags/etl/dagVersions/1", role=role)
