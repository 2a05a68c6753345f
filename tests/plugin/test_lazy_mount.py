"""The mount in Airflow: built at the first request, and never a reason for Airflow to fail."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from airflow_rest_api import plugin
from airflow_rest_api.web import app
from tests.support.headers import wrong

WHAT_THE_PLUGIN_IMPORTS = """
import airflow_rest_api.plugin, sys
libraries = ("connexion", "flask", "starlette", "uvicorn")
own = [name for name in sys.modules if name.startswith("airflow_rest_api.") and not name.endswith(".plugin")]
print([*own, *(name for name in libraries if name in sys.modules)])
"""


@pytest.fixture
def builds(monkeypatch):
    """How often the application was built; what is put into `builds.faults` is raised first."""

    class Builds(list):
        """Counts."""

    builds = Builds()
    builds.faults = []

    def create_mounted():
        builds.append(1)
        if builds.faults:
            raise builds.faults.pop(0)
        return {prefix: PlainTextResponse(f"at {prefix}") for prefix in plugin.PREFIXES}

    monkeypatch.setattr(app, "create_mounted", create_mounted)
    return builds


@pytest.fixture
def client():
    mounts = plugin._Mounts()
    routes = [Mount(prefix, app=plugin.LazyMount(mounts, prefix)) for prefix in plugin.PREFIXES]
    return TestClient(Starlette(routes=routes), raise_server_exceptions=False)


class TestBuilding:
    def test_nothing_is_built_before_the_first_request(self, builds, client):
        assert builds == []
        assert [client.get(f"{prefix}/x").text for prefix in plugin.PREFIXES] == [
            f"at {prefix}" for prefix in plugin.PREFIXES
        ]
        assert builds == [1]

    def test_many_first_requests_build_once(self, builds, client):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get("/rest_api/v1/version").text, range(8)))
        assert set(answers) == {"at /rest_api"}
        assert builds == [1]

    def test_importing_the_plugin_imports_nothing_of_the_service(self):
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WHAT_THE_PLUGIN_IMPORTS],
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.splitlines()[-1] == "[]"


class TestFailure:
    def test_what_is_wrong_is_told_as_a_problem(self, builds, client):
        builds.faults = [app.StartError(["one thing is wrong", "another, too"])]
        response = client.get("/rest_api/v1/dags")
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert int(response.headers["retry-after"]) == plugin.RETRY_SECONDS
        assert wrong(response.headers) == []
        assert response.json() == {
            "type": "urn:airflow-rest-api:problem:not-started",
            "title": "The service did not start",
            "status": 503,
            "detail": "one thing is wrong; another, too",
            "instance": "/rest_api/v1/dags",
            "request_id": "",
        }

    def test_an_unexpected_fault_says_nothing_of_itself(self, builds, client, caplog):
        builds.faults = [RuntimeError("secret")]
        response = client.get("/rest_api/v1/dags")
        assert response.status_code == 503
        assert "secret" not in response.text
        assert "secret" in caplog.text

    def test_a_service_that_cannot_be_imported_says_so(self, client, monkeypatch):
        monkeypatch.setitem(sys.modules, "airflow_rest_api.web.app", None)
        assert "cannot be imported" in client.get("/rest_api/v1/dags").json()["detail"]

    def test_it_is_tried_again_after_a_while(self, builds, client, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(plugin.time, "monotonic", lambda: now[0])
        builds.faults = [app.StartError(["the database is away"])]
        for _ in range(3):
            assert client.get("/rest_api/x").status_code == 503
        assert builds == [1]
        now[0] += plugin.RETRY_SECONDS
        assert client.get("/rest_api/x").status_code == 200
        assert client.get("/admin/rest_api/x").status_code == 200
        assert builds == [1, 1]


class TestPlugin:
    def test_airflow_finds_a_mount_for_every_prefix(self):
        from airflow_rest_api.web.doors import DOORS

        mounts = plugin.RestApiPlugin.fastapi_apps
        assert [mount["url_prefix"] for mount in mounts] == [door.prefix for door in DOORS]
        assert all(isinstance(mount["app"], plugin.LazyMount) for mount in mounts)

    @pytest.mark.parametrize(
        ("base", "address"),
        [
            ("http://a:8080", "/rest_api/v1/ui/"),
            ("http://a/airflow/", "/airflow/rest_api/v1/ui/"),
            ("", "/rest_api/v1/ui/"),
        ],
    )
    def test_the_menu_leads_below_airflows_own_path(self, monkeypatch, base, address):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
        assert plugin._menu_address() == address

    def test_the_menu_has_a_link(self):
        (view,) = plugin.RestApiPlugin.external_views
        assert json.loads(json.dumps(view))["category"] == "admin"
