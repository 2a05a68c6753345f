"""Every answer, and every refusal above all, tells browsers to guess, frame, keep and pass on nothing."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract, headers
from tests.support import calls
from tests.support.headers import wrong

# What stands before the base paths of the contracts.
ROOTS = {"openapi.yaml": "/rest_api", "legacy.yaml": "/rest_api", "legacy_security.yaml": "/api/v1"}
SWITCHED_ON = "upload_roots"
ORIGIN = {"Origin": "https://elsewhere.example"}


def every_call(*names):
    for name in names:
        base = contract.BASE_PATHS[name]
        document = contract.load(name)
        for operation in contract.operations(document):
            call = calls.plainest(document, operation)
            yield pytest.param(
                operation,
                f"{ROOTS[name]}{base}{call.path}",
                f"{ROOTS[name]}{base}/no/such/place",
                id=f"{base[1:]}-{operation.operation_id}",
            )


def refusals(rest, operation, address, nowhere, token):
    """The ways in which every operation refuses, as far as it has them."""
    bearer = {"Authorization": f"Bearer {token('admin')}"}
    ask = rest.http.request
    if not operation.anonymous:
        yield 401, ask(operation.method, address, headers=ORIGIN)
        yield 401, ask(operation.method, address, headers={**ORIGIN, "Authorization": "Bearer no.such.token"})
    malformed = ask(operation.method, address, headers={**ORIGIN, **bearer}, params={"no_such_parameter": 1})
    yield 403 if is_switched_off(operation) else 400, malformed
    yield 405, ask("BREW", address, headers={**ORIGIN, **bearer})
    yield 404, ask(operation.method, nowhere, headers={**ORIGIN, **bearer})


def is_switched_off(operation):
    """Whether no caller may use the operation with the settings of the tests: it is denied, however malformed."""
    rules = operation.definition["x-airflow-access"]
    return any(rule.get("switch", SWITCHED_ON) != SWITCHED_ON for rule in rules if "when" not in rule)


@pytest.mark.parametrize(("operation", "address", "nowhere"), list(every_call("openapi.yaml")))
def test_every_refusal_of_an_operation_has_them(rest, token, operation, address, nowhere):
    for status, answer in refusals(rest, operation, address, nowhere, token):
        assert (answer.status_code, wrong(answer.headers)) == (status, [])
        assert answer.headers["content-type"] == "application/problem+json"


def test_refusals_of_old_calls_have_them(rest):
    for entry in every_call("legacy.yaml", "legacy_security.yaml"):
        operation, address, _ = entry.values
        for status, method in ((400 if "login" in address else 401, operation.method), (405, "BREW")):
            answer = rest.http.request(method, address, headers=ORIGIN)
            assert (answer.status_code, wrong(answer.headers)) == (status, []), address


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rest_api/v1/version", 200),
        ("/rest_api/v1/health/live", 200),
        ("/rest_api/v1/ui/", 200),
        ("/rest_api/v1/ui/swagger-ui.css", 200),
        ("/rest_api/v1/openapi.json", 200),
        ("/admin/rest_api/v1/legacy.json", 200),
        ("/rest_api/", 307),
        ("/nothing", 404),
        ("/admin/rest_api/v1/version", 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_no_operation_has_them(rest, method, path, status):
    answer = rest.http.request(method, path, headers=ORIGIN, follow_redirects=False)
    assert (answer.status_code, wrong(answer.headers)) == (status, [])


def test_a_preflight_is_not_answered(rest):
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = rest.http.options("/rest_api/v1/security/login", headers=asked)
    assert (answer.status_code, wrong(answer.headers)) == (405, [])


@pytest.mark.in_process
def test_an_encrypted_connection_is_to_stay_so(rest):
    from starlette.testclient import TestClient

    client = TestClient(rest.http.app, base_url="https://service.example")
    for path in ("/rest_api/v1/version", "/nothing"):
        assert wrong(client.get(path).headers, encrypted=True) == []
    forged = {"X-Forwarded-Proto": "https", "Forwarded": "proto=https"}
    assert wrong(rest.http.get("/rest_api/v1/version", headers=forged).headers) == []


class TestTheCheckItself:
    @pytest.mark.in_process
    def test_an_answer_without_them_is_seen(self, rest, monkeypatch):
        monkeypatch.setattr(headers, "completing", lambda *_: [])
        assert len(wrong(rest.http.get("/nothing").headers)) == 4

    def test_what_does_not_belong_there_is_seen(self):
        complete = {name.decode(): value.decode() for name, value in headers.completing("http")}
        assert wrong(complete) == []
        more = {
            "server": "uvicorn",
            "access-control-allow-origin": "*",
            "strict-transport-security": "max-age=1",
        }
        assert len(wrong({**complete, **more})) == 3
        assert wrong(complete, encrypted=True) == ["strict-transport-security: None"]
