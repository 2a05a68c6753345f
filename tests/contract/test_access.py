"""Every operation refuses a caller whom nobody knows and one who may not, and takes the one who may."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract
from tests.support import calls

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
