"""The contracts to read, Swagger UI, and the doors through which all is reached."""

from __future__ import annotations

import re

import pytest
import yaml
from starlette.testclient import TestClient

from airflow_rest_api.web import contract
from airflow_rest_api.web.app import create_application, create_mounted
from airflow_rest_api.web.doors import DOORS, MountedDoor
from tests.web import small
from tests.web.small import Wire, operation


@pytest.fixture
def http(rest):
    """The application without a prefix."""
    return rest.http


@pytest.fixture(scope="module")
def mounted(metadata_database):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    doors = create_mounted()
    assert set(doors) == {door.prefix for door in DOORS}
    assert all(prefix.startswith("/") for prefix in doors)
    return Starlette(routes=[Mount(prefix, app=app) for prefix, app in doors.items()])


class TestContracts:
    def test_the_contract_is_served_as_it_is_bundled(self, http):
        served = http.get("/rest_api/v1/openapi.json").json()
        bundled = contract.load()
        assert list(served["paths"]) == list(bundled["paths"])
        assert served["components"]["schemas"] == bundled["components"]["schemas"]
        assert yaml.load(http.get("/rest_api/v1/openapi.yaml").text, Loader=contract._Loader) == served

    @pytest.mark.parametrize(
        ("address", "server"),
        [
            ("/rest_api/v1/openapi.json", "/rest_api/v1"),
            ("/rest_api/v1/legacy.json", "/rest_api/api"),
            # Version 1 is not served behind the old plugin's door: calls of its page go to where it is.
            ("/admin/rest_api/v1/openapi.json", "/rest_api/v1"),
            ("/admin/rest_api/v1/legacy.json", "/admin/rest_api/api"),
        ],
    )
    @pytest.mark.parametrize("root", ["", "/airflow", "/a/b"])
    def test_the_server_is_right_below_every_prefix(self, http, address, server, root):
        client = TestClient(http.app, root_path=root)
        response = client.get(f"{root}{address}")
        assert response.json()["servers"] == [{"url": f"{root}{server}"}]
        assert response.headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("server", ["/rest_api/v1/openapi.json", "/rest_api/v1/openapi.yaml"])
    def test_both_forms_say_what_they_are(self, http, server):
        assert http.get(server).headers["content-type"] == f"application/{server.rpartition('.')[2]}"

    @pytest.mark.parametrize(
        "name", ["openapi.txt", "openapi", "other.json", ".json", "legacy_security.json"]
    )
    def test_nothing_else_is_served_there(self, http, name):
        assert http.get(f"/rest_api/v1/{name}").status_code == 404

    def test_the_configured_name_of_the_header_is_in_it(self, build):
        client = build(
            {"/a": {"get": operation("get_a")}}, {"get_a": small.empty}, http_token_header="X-Our-Token"
        )
        schemes = client.get("openapi.json").json()["components"]["securitySchemes"]
        assert schemes["httpToken"]["name"] == "X-Our-Token"

    def test_a_contract_without_a_header_token_stays_without(self):
        schemes = contract.load("legacy_security.yaml")["components"]["securitySchemes"]
        assert schemes.keys() == {"refreshBearer"}


class TestPage:
    @pytest.mark.parametrize("door", ["/rest_api", "/admin/rest_api"])
    @pytest.mark.parametrize("root", ["", "/airflow"])
    def test_the_short_address_leads_to_the_page(self, http, door, root):
        client = TestClient(http.app, root_path=root)
        for end in ("", "/"):
            response = client.get(f"{root}{door}{end}", follow_redirects=False)
            assert (response.status_code, response.headers["location"]) == (307, f"{root}{door}/v1/ui/")
        assert "swagger-ui" in client.get(f"{root}{door}/v1/ui/").text

    def test_everything_that_the_page_loads_is_there(self, http):
        page = http.get("/rest_api/v1/ui/")
        for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert not name.startswith(("/", "http"))
            assert http.get(f"/rest_api/v1/ui/{name}").status_code == 200, name
        for name in re.findall(r'url: "([^"]+)"', http.get("/rest_api/v1/ui/start.js").text):
            assert http.get(f"/rest_api/v1/ui/{name}").status_code == 200, name

    def test_the_page_may_load_nothing_from_elsewhere(self, http):
        policy = http.get("/rest_api/v1/ui/").headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy

    @pytest.mark.parametrize(
        "name", ["nothing.js", "../app.py", "..%2f..%2fapp.py", "%2e%2e/%2e%2e/setup.py", "//etc/passwd"]
    )
    def test_no_other_file_is_served(self, http, name):
        assert http.get(f"/rest_api/v1/ui/{name}").status_code == 404

    def test_a_page_that_is_known_is_not_sent_again(self, http):
        first = http.get("/rest_api/v1/ui/start.js")
        again = http.get("/rest_api/v1/ui/start.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


class TestDoors:
    def test_one_operation_of_each_contract_answers_in_one_application(self, http, token):
        credential = {"Authorization": f"Bearer {token('admin')}"}
        login = {"username": "admin", "password": "admin-password"}
        assert http.get("/rest_api/v1/version").status_code == 200
        for address in (
            "/rest_api/api?api=version",
            "/rest_api/api/version",
            "/admin/rest_api/api?api=version",
        ):
            assert http.get(address, headers=credential).json()["http_response_code"] == 200, address
        assert "access_token" in http.post("/api/v1/security/login", json=login).json()

    @pytest.mark.parametrize("path", ["/dags", "/version", "/health/live", "/security/login", "/metrics", ""])
    def test_version_1_is_not_served_behind_the_old_plugins_door(self, http, path, token):
        headers = {"Authorization": f"Bearer {token('admin')}"}
        response = http.get(f"/admin/rest_api/v1{path}", headers=headers, follow_redirects=False)
        assert response.status_code == 404

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/rest_apis/v1/version",
            "/v1/version",
            "/security/login",
            "/api/v1/dags",
            "/api/v1/securityx/login",
        ],
    )
    def test_nothing_is_served_beside_the_doors(self, http, path):
        assert http.get(path).status_code == 404
        assert http.post(path).status_code == 404

    def test_old_calls_are_gone_when_they_are_switched_off(self, build):
        client = build({"/a": {"get": operation("get_a")}}, {"get_a": small.empty})
        for address in ("/rest_api/api?api=version", "/admin/rest_api/api", "/api/v1/security/login"):
            assert client.get(f"http://test{address}").status_code == 404
        assert client.get("http://test/rest_api/v1/legacy.json").status_code == 404

    @pytest.mark.parametrize("name", ["", "nothing", "../v1/version", "version/..", "%00", "a%2Fb"])
    def test_an_old_call_that_does_not_exist_is_no_other_address(self, http, name, token):
        headers = {"Authorization": f"Bearer {token('admin')}"}
        assert http.get(f"/rest_api/api?api={name}", headers=headers).status_code == 400

    def test_an_old_call_needs_a_credential(self, http):
        assert http.get("/rest_api/api?api=version").status_code == 401

    @pytest.mark.parametrize("root", ["", "/airflow"])
    def test_a_proxy_may_take_a_prefix_off(self, rest, root):
        with small.serving(rest.http.app, root_path=root) as address, Wire(address) as wire:
            wire.send("GET /rest_api/v1/version HTTP/1.1", "Host: test")
            assert wire.answer()[0] == 200
            wire.send("GET /rest_api HTTP/1.1", "Host: test")
            assert wire.answer()[1]["location"] == f"{root}/rest_api/v1/ui/"
            wire.send("PUT /rest_api/v1/dags HTTP/1.1", "Host: test")
            assert wire.answer()[1]["allow"] == "GET, HEAD, PATCH"


class TestMounted:
    """As Airflow mounts it: Starlette puts the prefix into the root path and leaves the path whole."""

    @pytest.mark.parametrize("root", ["", "/airflow"])
    def test_every_door_opens(self, mounted, root, token):
        client = TestClient(mounted, root_path=root)
        headers = {"Authorization": f"Bearer {token('admin')}"}
        login = {"username": "admin", "password": "admin-password"}
        assert client.get(f"{root}/rest_api/v1/version").status_code == 200
        assert client.get(f"{root}/admin/rest_api/api?api=version", headers=headers).status_code == 200
        assert client.post(f"{root}/api/v1/security/login", json=login).status_code == 200
        assert client.get(f"{root}/admin/rest_api/v1/dags", headers=headers).status_code == 404
        document = client.get(f"{root}/rest_api/v1/openapi.json").json()
        assert document["servers"] == [{"url": f"{root}/rest_api/v1"}]
        assert client.put(f"{root}/rest_api/v1/dags").headers["allow"] == "GET, HEAD, PATCH"
        problem = client.get(f"{root}/rest_api/v1/nothing").json()
        assert problem["instance"] == f"{root}/rest_api/v1/nothing"

    def test_a_path_without_its_root_is_understood(self):
        """Some servers leave the root path out of the path."""
        import asyncio

        from airflow_rest_api.web import exchange

        seen = {}

        async def application(scope, receive, send):
            seen.update(scope)

        scope = {"path": "/rest_api/v1/dags", "root_path": "/airflow/rest_api"}
        exchange.begin(scope, {})
        asyncio.run(MountedDoor(application, DOORS[0])(scope, None, None))
        assert (seen["path"], seen["root_path"]) == ("/airflow/rest_api/v1/dags", "/airflow/rest_api")


def test_two_applications_stand_beside_each_other(rest):
    assert TestClient(create_application()).get("/rest_api/v1/version").json() == rest.get("/version").json()
