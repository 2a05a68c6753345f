"""The application mounted in Airflow's API server, the server in this process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import uvicorn
from airflow.models.connection import Connection
from airflow.utils.session import create_session

from airflow_rest_api.web import waiting
from tests.conftest import in_process
from tests.support import environment
from tests.web import small
from tests.web.small import Wire

pytestmark = pytest.mark.in_process


@pytest.fixture(scope="module")
def airflow(token):
    from airflow.api_fastapi.app import create_app

    with in_process(create_app(apps="core")) as http:
        yield http


@pytest.fixture
def bearer(token):
    return {"Authorization": f"Bearer {token('admin')}"}


def test_one_operation_of_each_contract_answers_below_its_prefix(airflow, bearer):
    credentials = {"username": "admin", "password": "admin-password"}
    assert airflow.get("/rest_api/v1/dags", headers=bearer).status_code == 200
    assert airflow.get("/rest_api/api?api=version", headers=bearer).json()["status"] == "OK"
    assert airflow.get("/admin/rest_api/api?api=version", headers=bearer).json()["status"] == "OK"
    assert "access_token" in airflow.post("/api/v1/security/login", json=credentials).json()


@pytest.mark.parametrize("name", ["a%0Ab", "%0A", "a%0A", "%0Aa", "a%0D%0Ab"])
@pytest.mark.parametrize("place", ["pools", "variables", "connections", "dags", "dags/etl/dagRuns"])
def test_a_name_with_a_line_break_gets_the_problem_of_the_standalone_service(
    airflow, rest, bearer, place, name
):
    ours = airflow.get(f"/rest_api/v1/{place}/{name}", headers=bearer)
    alone = rest.get(f"/{place}/{name}")
    assert (ours.status_code, ours.headers["content-type"]) == (404, "application/problem+json")
    passing = {"instance", "request_id"}
    assert {key: value for key, value in ours.json().items() if key not in passing} == {
        key: value for key, value in alone.json().items() if key not in passing
    }


def test_line_breaks_at_every_prefix_come_to_this_service_and_all_others_to_airflow(airflow, bearer):
    for path in ("/rest_api/%0A", "/admin/rest_api/a%0A", "/api/v1/security/login%0A"):
        assert airflow.get(path).headers["content-type"] == "application/problem+json"
    for path in ("/api/v2/pools/a%0Ab", "/rest_apis/a%0Ab"):
        assert "request_id" not in airflow.get(path, headers=bearer).text


@pytest.mark.usefixtures("restored_database")
def test_an_id_with_a_slash_is_found_below_the_mount(airflow, bearer):
    with create_session(scoped=False) as session:
        session.add(Connection(conn_id="team/db", conn_type="http"))
    answer = airflow.get("/rest_api/v1/connections/team%2Fdb", headers=bearer)
    assert (answer.status_code, answer.json()["connection_id"]) == (200, "team/db")
    assert airflow.get("/rest_api/v1/connections/team/db", headers=bearer).status_code == 404


def test_airflows_own_api_and_pages_stay_where_they_are(airflow, bearer):
    assert airflow.get("/api/v2/version").status_code == 200
    assert airflow.get("/api/v1/other").status_code == 404


def test_the_contract_names_the_address_under_which_it_is_served(airflow):
    assert airflow.get("/rest_api/v1/openapi.json").json()["servers"] == [{"url": "/rest_api/v1"}]
    assert airflow.get("/rest_api/v1/legacy.json").json()["servers"] == [{"url": "/rest_api/api"}]


def test_the_root_leads_to_the_page(airflow):
    assert airflow.get("/rest_api/", follow_redirects=False).headers["location"] == "/rest_api/v1/ui/"
    assert "swagger-ui" in airflow.get("/rest_api/v1/ui/").text


def test_airflow_lists_the_plugin_and_its_place_in_the_menu(airflow, bearer):
    plugins = airflow.get("/api/v2/plugins?limit=100", headers=bearer).json()["plugins"]
    (ours,) = [entry for entry in plugins if entry["name"] == "airflow_rest_api"]
    assert [app["url_prefix"] for app in ours["fastapi_apps"]] == [
        "/rest_api",
        "/admin/rest_api",
        "/api/v1/security",
    ]
    assert [(view["name"], view["href"], view["category"]) for view in ours["external_views"]] == [
        ("REST API", "/rest_api/v1/ui/", "admin")
    ]


PROBE = """
from starlette.testclient import TestClient
from airflow.api_fastapi.app import create_app
client = TestClient(create_app(apps="core"))
for path in {paths}:
    answer = client.get(path)
    print("ANSWER", answer.status_code, answer.text[:400].replace(chr(10), " "))
"""


def answers(home, paths: list[str], **settings: str) -> list[str]:
    """What Airflow's API server answers in a process of its own, under other settings."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE.format(paths=paths)],
        cwd=environment.ROOT,
        env={**environment.inherited(), **environment.recorded(home), **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.removeprefix("ANSWER ") for line in result.stdout.splitlines() if line.startswith("ANSWER ")]


def test_a_wrong_setting_never_stops_airflow_and_the_mount_says_why(home):
    version, mount = answers(
        home,
        ["/api/v2/version", "/rest_api/v1/version"],
        AIRFLOW__REST_API__WORKER_THREADS="many",
    )
    assert version.startswith("200")
    assert mount.startswith("503")
    assert "[rest_api] worker_threads: 'many' is not a whole number" in mount


def test_every_fault_of_the_start_is_in_the_mounts_answer(home):
    version, mount = answers(
        home,
        ["/api/v2/version", "/rest_api/v1/version"],
        AIRFLOW__REST_API__DEPLOY_ENABLE="True",
        AIRFLOW__REST_API__HTTP_TOKEN="ci:ghost:value",
    )
    assert version.startswith("200")
    assert mount.startswith("503")
    assert (
        "deploy_enable: there is no such setting; did you mean deploy_enabled?; [rest_api] http_token"
        in mount
    )


def test_a_path_before_everything_is_kept(home):
    below, contract, plugins = answers(
        home,
        ["/airflow/rest_api/v1/version", "/airflow/rest_api/v1/openapi.json", "/rest_api/v1/version"],
        AIRFLOW__API__BASE_URL="http://localhost:8080/airflow",
    )
    assert below.startswith("200")
    assert plugins.startswith("200")
    assert contract.startswith("200")


class TestOnAServer:
    """On uvicorn with its own protocol, as `airflow api-server` runs."""

    @pytest.fixture
    def served(self, airflow):
        config = uvicorn.Config(airflow.app, lifespan="off", log_config=None, access_log=False)
        with small.stoppable(config) as served:
            yield served

    def test_a_response_before_the_end_of_the_body_closes_the_connection(self, served):
        with Wire(served[0]) as wire:
            wire.send("POST /rest_api/v1/pools HTTP/1.1", "Host: test", "Content-Length: 100", body=b"{")
            status, headers, _ = wire.answer()
            assert (status, headers["connection"]) == (401, "close")
            assert wire.socket.recv(10) == b""

    def test_long_polls_return_when_the_server_stops(self, served, bearer, new_run, monkeypatch):
        known, waiters = waiting.Poller.ended, []

        async def ended(self, what):
            waiters.append(what)
            await known(self, what)

        monkeypatch.setattr(waiting.Poller, "ended", ended)
        run = new_run("manual", state="running")
        with Wire(served[0]) as wire:
            bearer_line = f"Authorization: {bearer['Authorization']}"
            wire.send(f"GET /rest_api/v1{run.path}?wait=60 HTTP/1.1", "Host: test", bearer_line)
            assert small.until(lambda: waiters, 30)
            served[1]()
            status, _, body = wire.answer()
            assert (status, json.loads(body)["state"]) == (200, "running")
