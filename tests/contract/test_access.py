"""Every operation refuses a caller whom nobody knows and one who may not, and takes the one who may."""

from __future__ import annotations

import json

import pytest

from airflow_rest_api.web import contract
from tests.support import calls, readers
from tests.support.readers import READER

DOCUMENT = contract.load("openapi.yaml")
OPERATIONS = contract.operations(DOCUMENT)
GUARDED = [operation for operation in OPERATIONS if not operation.anonymous]
RULED = [operation for operation in GUARDED if any("when" not in rule for rule in operation.access or ())]
CHANGING = [
    operation
    for operation in RULED
    if not operation.read_only and any(rule["method"] != "GET" for rule in operation.access)
]
# Whoever may not read the runs of a DAG does not learn which backfills it has, as in Airflow.
HIDING = {"get_backfill", "pause_backfill", "unpause_backfill", "cancel_backfill"}


def called_by(rest, operation, role, **options):
    call = calls.plainest(DOCUMENT, operation)
    return rest.request(operation.method, call.path, role=role, **call.options(), **options)


def every(operations):
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.operation_id)


@every(GUARDED)
def test_a_caller_without_a_credential_is_refused(rest, operation):
    answer = called_by(rest, operation, None)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@every(GUARDED)
def test_a_broken_token_is_refused(rest, operation):
    answer = called_by(rest, operation, None, headers={"Authorization": "Bearer not.a.token"})
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


@every(RULED)
def test_a_user_without_a_role_is_refused(rest, operation):
    answer = called_by(rest, operation, "nobody")
    assert answer.status_code == (404 if operation.operation_id in HIDING else 403)
    assert answer.headers["content-type"] == "application/problem+json"


@every(CHANGING)
def test_a_viewer_may_not_change_anything(rest, operation):
    assert called_by(rest, operation, "viewer").status_code == 403


@every([operation for operation in OPERATIONS if operation.anonymous])
def test_an_open_operation_asks_for_no_credential(rest, operation):
    answer = called_by(rest, operation, None)
    # Login and its kin answer 401 to a wrong password, which is another thing than no credential.
    assert answer.status_code in (operation.status, 401)
    assert (answer.status_code == 401) <= (operation.tag == "Security")


@every([operation for operation in GUARDED if operation.access])
def test_a_malformed_call_of_a_user_without_a_role_is_denied(rest, operation):
    call = calls.plainest(DOCUMENT, operation)
    malformed = [{"params": {"no_such_parameter": "1"}}]
    if operation.body_type == contract.JSON:
        malformed += [{"json": {"no_such_field": 1}}, {"content": b"{"}, {"content": b"a=b"}]
        malformed[-2]["headers"] = {"Content-Type": contract.JSON}
        malformed[-1]["headers"] = {"Content-Type": "text/plain"}
    for options in malformed:
        answer = rest.request(operation.method, call.path, role="nobody", **options)
        assert answer.status_code == 403, (options, answer.text)
        assert "errors" not in answer.json()
        assert "no_such" not in answer.text


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/backfills"),
        ("POST", "/dags/manual/dagRuns"),
        ("PATCH", "/variables"),
        ("PATCH", "/dags/manual"),
    ],
)
def test_a_malformed_call_of_a_user_who_may_do_it_for_some_objects_is_malformed(
    rest, monkeypatch, method, path
):
    readers.restrict(monkeypatch, {"manual"})
    answer = rest.request(method, path, role=READER, json={"no_such_field": 1})
    assert answer.status_code == 400, answer.text


@pytest.mark.in_process
def test_a_malformed_call_about_a_dag_of_others_is_denied(rest, monkeypatch):
    readers.restrict(monkeypatch, {"manual"})
    answer = rest.post("/dags/etl/dagRuns", role=READER, json={"no_such_field": 1})
    assert answer.status_code == 403


def test_the_denial_of_a_malformed_change_is_in_the_event_log(rest):
    before = rest.get("/eventLogs", params={"event": "post_pool"}).json()["total_entries"]
    assert rest.post("/pools", role="viewer", json={"no_such_field": 1}).status_code == 403
    told = rest.get("/eventLogs", params={"event": "post_pool", "order_by": "-id"}).json()
    assert told["total_entries"] == before + 1
    assert json.loads(told["event_logs"][0]["extra"])["status"] == 403
