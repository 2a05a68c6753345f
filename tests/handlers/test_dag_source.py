"""DagSource: the file of a DAG, whole or withheld, as JSON or as text."""

from __future__ import annotations

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagcode import DagCode
from airflow.utils.session import create_session
from sqlalchemy import delete, update

from tests.support import readers
from tests.support.readers import READER

WITHHELD = "REDACTED - you do not have read permission on all Dags in the file"


class TestGetDagSource:
    @pytest.mark.parametrize("name", ["active", "versioned", "stale", "by_asset", "broken"])
    def test_the_whole_answer_is_airflows(self, parity, scenario, name):
        ours, theirs = parity("GET", f"/dagSources/{getattr(scenario, name)}")
        assert "DAG(" in ours.json()["content"]
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.parametrize("number", [1, 2, 0])
    def test_each_version_has_its_source(self, parity, scenario, number):
        parity("GET", f"/dagSources/{scenario.versioned}", params={"version_number": number})

    @pytest.mark.parametrize("accept", ["application/json", "text/plain", "*/*", "text/plain; q=0.5"])
    def test_the_caller_chooses_the_media_type(self, parity, scenario, accept):
        ours, theirs = parity("GET", f"/dagSources/{scenario.active}", headers={"Accept": accept})
        kinds = [answer.headers["content-type"].split(";")[0] for answer in (ours, theirs)]
        assert kinds[0] == kinds[1]

    def test_other_media_types_are_not_acceptable(self, parity, scenario):
        ours, _ = parity("GET", f"/dagSources/{scenario.active}", headers={"Accept": "image/png"})
        assert ours.status_code == 406

    @pytest.mark.in_process
    def test_a_file_with_a_dag_that_may_not_be_read_is_withheld(self, parity, monkeypatch):
        readers.restrict(monkeypatch, {"makes_assets", "etl"})
        assert parity("GET", "/dagSources/makes_assets", role=READER)[0].json()["content"] == WITHHELD
        assert parity("GET", "/dagSources/etl", role=READER)[0].json()["content"] != WITHHELD
        text = parity("GET", "/dagSources/makes_assets", role=READER, headers={"Accept": "text/plain"})
        assert text[0].text == WITHHELD

    @pytest.mark.in_process
    @pytest.mark.usefixtures("restored_database")
    def test_a_dag_without_a_path_is_alone_in_its_file(self, parity, monkeypatch):
        readers.restrict(monkeypatch, {"makes_assets"})
        with create_session(scoped=False) as session:
            session.execute(update(DagModel).values(relative_fileloc=None))
        assert parity("GET", "/dagSources/makes_assets", role=READER)[0].json()["content"] != WITHHELD

    def test_an_unknown_dag_or_version_is_not_found(self, parity, scenario):
        parity("GET", f"/dagSources/{scenario.missing}")
        ours, _ = parity("GET", f"/dagSources/{scenario.active}", params={"version_number": 9})
        assert "version 9" in ours.json()["detail"]

    @pytest.mark.usefixtures("restored_database")
    def test_a_version_without_source_is_not_found(self, parity, scenario):
        with create_session(scoped=False) as session:
            session.execute(delete(DagCode).where(DagCode.dag_id == scenario.active))
        parity("GET", f"/dagSources/{scenario.active}")

    def test_a_version_that_is_no_number_is_refused(self, parity, scenario):
        parity("GET", f"/dagSources/{scenario.active}", params={"version_number": "latest"})

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, scenario, role):
        parity("GET", f"/dagSources/{scenario.active}", role=role)
