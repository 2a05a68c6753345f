"""Optional bodies: `null` and an empty body of any media type have the same effect as no body."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract
from tests.support import calls

DOCUMENT = contract.load("openapi.yaml")
OPTIONAL = [
    operation
    for operation in contract.operations(DOCUMENT)
    if not operation.definition.get("requestBody", {"required": True}).get("required", False)
]
JSON = {"Content-Type": "application/json"}
# Generated Go and Java clients send `null` for a body that the caller left out.
ABSENT = [
    (b"null", JSON),
    (b" null\n", JSON),
    (b"\xef\xbb\xbfnull", JSON),
    (b"null", {"Content-Type": "application/merge-patch+json"}),
    (b"", JSON),
    (b"", {"Content-Type": "text/plain"}),
    (b"", {"Content-Type": "multipart/form-data"}),
]


def test_there_are_optional_bodies():
    assert {"kill_dag_run", "refresh_token", "review_access", "start_component", "stop_component"} <= {
        operation.operation_id for operation in OPTIONAL
    }


@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize("operation", OPTIONAL, ids=lambda operation: operation.operation_id)
def test_an_absent_body_has_many_forms(rest, operation):
    path = calls.plainest(DOCUMENT, operation).path

    def result(content=None, headers=None):
        answer = rest.request(operation.method, path, content=content, headers=headers)
        return answer.status_code, answer.json().get("type"), answer.json().get("detail")

    expected = result()
    assert [result(*sent) for sent in ABSENT] == [expected] * len(ABSENT)


def test_the_null_of_an_operation_without_a_body_is_ignored(rest):
    answer = rest.request("GET", "/version", content=b"null", headers=JSON)
    assert answer.status_code == 200
