"""Monitor, over HTTP."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import exc

from airflow_rest_api import __version__
from airflow_rest_api.services import database


class TestGetVersion:
    @pytest.mark.parametrize("role", ["admin", "nobody", None])
    def test_everybody_gets_what_airflow_answers(self, parity, role):
        parity("GET", "/version", role=role)


class TestGetHealth:
    @pytest.mark.parametrize("role", ["admin", None])
    def test_everybody_gets_what_airflow_answers(self, parity, role):
        parity("GET", "/monitor/health", role=role)


class TestGetLiveness:
    @pytest.mark.in_process
    def test_it_asks_nobody(self, rest, monkeypatch):
        monkeypatch.setattr(database, "create_session", None)
        response = rest.get("/health/live", role=None)
        assert (response.status_code, response.json()) == (200, {"status": "alive"})

    def test_a_bad_credential_does_no_harm(self, rest):
        assert rest.get("/health/live", role=None, headers={"Authorization": "Basic x"}).status_code == 200


class TestGetReadiness:
    def test_it_asks_the_database(self, rest):
        response = rest.get("/health/ready", role=None)
        assert (response.status_code, response.json()) == (200, {"status": "ready"})

    @pytest.mark.in_process
    @pytest.mark.parametrize(
        "fault",
        [exc.OperationalError("SELECT 1", {}, Exception("at 10.0.0.1")), exc.TimeoutError("QueuePool limit")],
    )
    def test_a_database_that_is_away_is_not_ready(self, rest, monkeypatch, fault):
        def away(**_):
            raise fault

        monkeypatch.setattr(database, "create_session", away)
        response = rest.get("/health/ready", role=None)
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert response.json()["type"].endswith(":database-unavailable")
        assert "10.0.0.1" not in response.text


class TestGetCapabilities:
    @pytest.mark.in_process
    def test_it_tells_switches_and_limits(self, rest):
        from airflow import __version__ as airflow_version

        found = rest.get("/capabilities", role="nobody").json()
        bundle = {"name": "dags-folder", "kind": "local", "is_writable": True, "why_not": None}
        assert bundle in found.pop("bundles")
        assert found == {
            "version": __version__,
            "airflow_version": airflow_version,
            "auth_manager": "SimpleAuthManager",
            "executor": "LocalExecutor",
            "deploy_enabled": False,
            "test_enabled": False,
            "reveal_enabled": False,
            "sandbox": "full",
            "allow_weak_sandbox": False,
            "upload_roots": ["files"],
            "components_enabled": [],
            "legacy_enabled": True,
            "legacy_dialect": "auto",
            "max_body_kib": 4096,
            "max_dag_file_kib": 1024,
            "max_archive_kib": 16384,
            "max_upload_mib": 50,
            "maximum_page_limit": 100,
        }

    @pytest.mark.in_process
    def test_it_tells_why_nothing_can_be_deployed_into_a_bundle(self, rest, monkeypatch, tmp_path):
        local = "airflow.dag_processing.bundles.local.LocalDagBundle"
        places = {"gone": tmp_path / "gone", "team": tmp_path}
        entries = [
            {"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in places.items()
        ]
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(entries))
        answer = rest.get("/capabilities")
        reason = "its folder does not exist on this machine"
        assert answer.json()["bundles"] == [
            {"name": "gone", "kind": "local", "is_writable": False, "why_not": reason},
            {"name": "team", "kind": "local", "is_writable": True, "why_not": None},
        ]
        assert str(tmp_path) not in answer.text

    def test_it_is_for_callers_alone(self, rest):
        assert rest.get("/capabilities", role=None).status_code == 401


class TestGetMetrics:
    def test_it_is_prometheus_text(self, rest):
        rest.get("/version")
        response = rest.get("/metrics", role="nobody")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert re.search(
            r'^airflow_rest_api_requests_total\{operation="get_version",status="200"\} \d',
            response.text,
            re.M,
        )

    def test_it_is_for_callers_alone(self, rest):
        assert rest.get("/metrics", role=None).status_code == 401
