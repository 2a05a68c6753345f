"""The edge, from outside: request ids, problems, methods, HEAD, and kinds of connection."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors
from airflow_rest_api.web import edge, problems
from airflow_rest_api.web.metrics import Metrics
from tests.web.small import operation, parameter

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}
THINGS = {
    "/things": {
        "get": operation("get_things"),
        "post": operation("make_thing", body={"type": "object"}),
    },
    "/things/list": {"post": operation("list_things", body={"type": "object"}, required=False)},
    "/things/{thing_id}": {
        "get": operation("get_thing", parameters=[parameter("thing_id", "path", type="string")]),
        "delete": operation(
            "delete_thing",
            parameters=[parameter("thing_id", "path", type="string")],
            status="204",
            answer=None,
        ),
    },
    "/raising": {"get": operation("raising")},
}
HANDLERS = {
    "get_things": lambda: {"things": []},
    "make_thing": lambda body: body,
    "list_things": lambda body: body,
    "get_thing": lambda thing_id: {"thing_id": thing_id},
    "delete_thing": lambda thing_id: None,
}


def failing(fault):
    def raising():
        raise fault

    return {**HANDLERS, "raising": raising}


@pytest.fixture
def things(build):
    return build(THINGS, failing(RuntimeError("secret /var/lib/airflow SELECT")))


def problem_of(response, status):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document.keys() >= MEMBERS
    assert document["status"] == status
    assert document["type"].startswith("urn:airflow-rest-api:problem:")
    assert document["instance"] == response.request.url.path
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["detail"]
    assert "\n" not in document["detail"]
    return document


class TestProblems:
    @pytest.mark.parametrize(
        ("method", "path", "options", "status"),
        [
            ("GET", "/nothing", {}, 404),  # the door
            ("GET", "/rest_api/v1/nothing", {}, 404),  # the router
            ("GET", "/rest_api/v1/ui/nothing.js", {}, 404),  # the page
            ("POST", "/rest_api/v1/ui/", {}, 405),
            ("PUT", "/rest_api/v1/dags", {}, 405),
            ("GET", "/rest_api/v1/dags", {}, 401),  # Connexion's security
            ("GET", "/rest_api/v1/dags", {"role": "nobody"}, 403),  # the gate
            ("GET", "/rest_api/v1/dags?limt=1", {"role": "admin"}, 400),  # the arguments
            ("GET", "/rest_api/v1/dags/no_such_dag", {"role": "admin"}, 404),  # a service
            ("POST", "/rest_api/v1/security/login", {"content": b"{"}, 400),  # the body
            ("POST", "/rest_api/v1/security/login", {"content": b"x", "type": "text/plain"}, 415),
            ("POST", "/rest_api/v1/security/login", {"content": b"x" * 5_000_000}, 413),  # the edge
        ],
    )
    def test_every_layer_answers_a_problem(self, rest, token, method, path, options, status):
        headers = {"content-type": options.get("type", "application/json")}
        if "role" in options:
            headers["authorization"] = f"Bearer {token(options['role'])}"
        problem_of(rest.http.request(method, path, headers=headers, content=options.get("content")), status)

    @pytest.mark.parametrize(
        "headers",
        [{}, {"content-length": "x"}, {"content-encoding": "gzip"}],
        ids=["size", "length", "encoding"],
    )
    def test_authentication_comes_before_the_size_of_the_body(self, rest, token, headers):
        def status(**further):
            sent = {"content-type": "application/json", **headers, **further}
            return rest.http.post("/rest_api/v1/pools", content=b"x" * 5_000_000, headers=sent).status_code

        assert status() == 401
        assert status(authorization=f"Bearer {token('admin')}") in (400, 413, 415)

    def test_a_missing_credential_is_challenged(self, rest):
        response = rest.get("/dags", role=None)
        problem_of(response, 401)
        assert response.headers["www-authenticate"] == 'Bearer realm="airflow"'

    def test_a_bad_credential_is_called_invalid(self, rest):
        response = rest.get("/dags", role=None, headers={"Authorization": "Bearer x.y.z"})
        problem_of(response, 401)
        assert response.headers["www-authenticate"] == 'Bearer realm="airflow", error="invalid_token"'

    def test_an_unexpected_fault_tells_nothing_but_the_request_id(self, things, caplog):
        response = things.get("raising")
        problem = problem_of(response, 500)
        assert not re.search("secret|/var|SELECT|Runtime|Traceback", response.text)
        assert problem["title"] == "Internal error"
        assert problem["request_id"] in caplog.text
        assert "secret" in caplog.text

    @pytest.mark.parametrize(
        ("fault", "status", "retry"),
        [
            (errors.Malformed("No."), 400, None),
            (errors.Denied("No."), 403, None),
            (errors.DagNotFound("etl"), 404, None),
            (errors.NotAcceptable("No."), 406, None),
            (errors.AlreadyExists("No."), 409, None),
            (errors.PreconditionFailed("No."), 412, None),
            (errors.ValueRejected("No."), 422, None),
            (errors.TooManyRequests("No.", retry_after=7), 429, "7"),
            (errors.DatabaseUnavailable(), 503, "2"),
        ],
    )
    def test_every_refusal_has_its_status(self, build, fault, status, retry):
        response = build(THINGS, failing(fault)).get("raising")
        assert problem_of(response, status)["detail"] == fault.detail
        assert response.headers.get("retry-after") == retry

    def test_the_facts_of_a_refusal_become_members(self, build):
        problem = build(THINGS, failing(errors.TaskInstanceNotFound("d", "r", "t", 3))).get("raising").json()
        assert (problem["dag_id"], problem["map_index"]) == ("d", 3)
        assert problem["type"] == "urn:airflow-rest-api:problem:task-instance-not-found"

    def test_the_type_of_a_problem_does_not_depend_on_python(self):
        types = {status: problems.of_status(status).code for status in (404, 405, 408, 413, 415, 500)}
        assert types == {
            404: "not-found",
            405: "method-not-allowed",
            408: "request-timeout",
            413: "content-too-large",
            415: "unsupported-media-type",
            500: "internal-error",
        }


class TestRequestId:
    def test_every_answer_has_another_one(self, rest):
        first, second = (rest.get("/health/live", role=None).headers["x-request-id"] for _ in range(2))
        assert re.fullmatch("[0-9a-f]{32}", first)
        assert first != second

    def test_the_callers_own_is_kept(self, rest):
        given = "Trace.1_2-3"
        assert rest.get("/version", headers={"X-Request-Id": given}).headers["x-request-id"] == given
        assert rest.get("/nothing", headers={"X-Request-Id": given}).json()["request_id"] == given

    @pytest.mark.parametrize("given", ["a" * 65, "a b", "", "<script>", "a\tb", "ä", "a'--"])
    def test_a_hostile_one_is_replaced(self, rest, given):
        headers = {"X-Request-Id": given.encode("latin-1")}
        assert re.fullmatch("[0-9a-f]{32}", rest.get("/version", headers=headers).headers["x-request-id"])


class TestMethods:
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
    def test_allow_names_every_method_of_the_path(self, things, method):
        response = things.request(method, "things")
        problem_of(response, 405)
        assert response.headers["allow"] == "GET, HEAD, POST"

    def test_allow_of_a_literal_path_has_its_own_methods(self, things):
        assert things.get("things/list").json() == {"thing_id": "list"}
        assert things.delete("things/list").status_code == 204
        assert things.put("things/list").headers["allow"] == "POST"
        assert things.put("things/x").headers["allow"] == "DELETE, GET, HEAD"

    def test_allow_is_right_behind_every_door(self, rest):
        for path, allowed in {
            "/rest_api/v1/security/login": "POST",
            "/rest_api/v1/dags/~/dagRuns/list": "POST",
            "/rest_api/v1/openapi.json": "GET, HEAD",
            "/admin/rest_api/api/version": "GET, HEAD, POST",
            "/api/v1/security/login": "POST",
        }.items():
            response = rest.http.put(path)
            assert (response.status_code, response.headers["allow"]) == (405, allowed), path

    def test_head_answers_the_headers_of_get_alone(self, rest):
        for path in ("/dags", "/version", "/health/live", "/openapi.json", "/ui/", "/dags/no_such_dag"):
            got, head = rest.get(path), rest.request("HEAD", path)
            different = {"x-request-id", "content-length" if got.status_code == 404 else ""}
            kept = [
                {name: value for name, value in answer.headers.items() if name not in different}
                for answer in (got, head)
            ]
            assert kept[0] == kept[1], path
            assert (head.status_code, head.content) == (got.status_code, b""), path

    def test_head_is_no_way_around_a_credential(self, rest):
        response = rest.request("HEAD", "/dags", role=None)
        assert (response.status_code, response.content) == (401, b"")

    def test_head_of_what_only_changes_is_refused(self, rest):
        assert rest.request("HEAD", "/security/login").headers["allow"] == "POST"

    def test_nothing_is_told_about_the_content_of_an_empty_answer(self, things):
        response = things.delete("things/x")
        assert (response.status_code, response.content) == (204, b"")
        assert not {"content-type", "content-length"} & response.headers.keys()

    @pytest.mark.parametrize("path", ["things/", "things//", "/things", "things/x/", "ui//"])
    def test_an_address_is_served_to_the_letter(self, things, path):
        assert things.get(f"http://test/rest_api/v1/{path}", follow_redirects=False).status_code == 404


class TestHeaders:
    def test_answers_are_neither_cached_nor_rendered(self, rest):
        headers = rest.get("/dags").headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")

    def test_header_values_beyond_ascii_do_no_harm(self, rest):
        headers = {"X-Anything": "ä€".encode(), "Accept": "ü/ß".encode("latin-1")}
        assert rest.get("/dags", params={"limit": 1}, headers=headers).status_code == 200

    def test_an_authorization_beyond_ascii_is_refused(self, rest):
        headers = {"Authorization": "Bearer tökén".encode()}
        problem_of(rest.get("/dags", role=None, headers=headers), 401)


class TestConnections:
    def test_a_websocket_is_refused(self, rest):
        client = TestClient(rest.http.app)
        with pytest.raises(WebSocketDisconnect) as refusal, client.websocket_connect("/rest_api/v1/dags"):
            pass
        assert refusal.value.code == 1008

    def test_a_lifespan_is_confirmed(self, rest):
        with TestClient(rest.http.app) as client:
            assert client.get("/rest_api/v1/health/live").status_code == 200

    def test_another_kind_of_connection_is_left_alone(self, rest):
        import asyncio

        async def silent(*_):
            raise AssertionError("nothing is received or sent")

        asyncio.run(rest.http.app({"type": "carrier-pigeon"}, silent, silent))


class TestFaultsAfterTheStart:
    def answers(self, application):
        """What the edge sends around an application, and the metrics of it."""
        import asyncio

        sent, metrics = [], Metrics()
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            sent.append(message)

        around = edge.Edge(application, metrics, Redactor())
        return asyncio.run, around(scope, receive, send), sent, metrics

    def test_a_fault_after_the_head_was_sent_goes_to_the_server_and_is_counted(self):
        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("in the middle")

        run, call, sent, metrics = self.answers(application)
        with pytest.raises(RuntimeError, match="in the middle"):
            run(call)
        assert [message["type"] for message in sent] == ["http.response.start"]
        assert 'airflow_rest_api_requests_total{operation="none",status="200"} 1.0' in metrics.text()

    def test_a_cancelled_request_gets_no_answer(self):
        import asyncio

        async def application(scope, receive, send):
            raise asyncio.CancelledError

        run, call, sent, _ = self.answers(application)
        with pytest.raises(asyncio.CancelledError):
            run(call)
        assert sent == []


class TestLengths:
    """As another server than ours might hand them on."""

    @pytest.mark.parametrize(
        ("length", "status"),
        [(b"abc", 400), (b"-1", 400), (b"9" * 5000, 413), (b"9" * 20, 413), (b"1e3", 400)],
    )
    def test_a_length_that_is_none_is_refused(self, things, length, status):
        headers = {"content-length": length, "content-type": "application/json"}
        assert things.post("things", content=b"{}", headers=headers).status_code == status
