"""Names that mean more, or less, than one object: none of them changes anything."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract
from tests.faults.audit import state
from tests.support import calls

pytestmark = [pytest.mark.slow, pytest.mark.in_process]

DOCUMENT = contract.load()
CHANGING = [one for one in contract.operations(DOCUMENT) if not one.read_only and "{dag_id}" in one.path]
# Their bodies name the DAG of each run, and `~` stands for all of them.
OF_ALL_DAGS = {"bulk_dag_runs", "clear_dag_runs"}
HOSTILE = [
    "~",
    "etl,manual",
    "etl%2Cmanual",
    "etl%2Fmanual",
    "..",
    "%2e%2e",
    "etl%00",
    "ETL",
    "etl%20",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("operation", CHANGING, ids=lambda operation: operation.operation_id)
def test_a_dag_of_such_a_name_is_refused(rest, operation, name, restored_database):
    call = calls.plainest(DOCUMENT, operation)
    path = "/".join(["/dags", name, *call.path.split("/")[3:]])
    before = state()
    answer = rest.request(operation.method, path, **call.options())
    if operation.operation_id in OF_ALL_DAGS and name == "~":
        return
    assert is_refused(answer), answer.text
    assert state() == before


def is_refused(answer) -> bool:
    """A bulk request is answered in any case, with what succeeded."""
    return 400 <= answer.status_code < 500 or answer.json()["update"]["success"] == []


@pytest.mark.parametrize("name", ["~", "a,b", "a%2Fb", "..", "%2e%2e", "a%00"])
@pytest.mark.parametrize(
    "operation",
    [one for one in CHANGING if "{dag_run_id}" in one.path],
    ids=lambda operation: operation.operation_id,
)
def test_a_run_of_such_a_name_is_refused(rest, operation, name, restored_database):
    if (operation.operation_id, name) == ("delete_dag_run", ".."):
        pytest.skip("a client resolves it before it is sent, and asks for the DAG to be deleted")
    call = calls.plainest(DOCUMENT, operation)
    begin, _, end = call.path.partition("/dagRuns/")
    before = state()
    path = "/".join([f"{begin}/dagRuns", name, *end.split("/")[1:]])
    answer = rest.request(operation.method, path, **call.options())
    assert is_refused(answer), answer.text
    assert state() == before


def test_without_the_name_they_change_something(rest, restored_database):
    """The calls are good ones but for the names."""
    (operation,) = [one for one in CHANGING if one.operation_id == "trigger_dag_run"]
    call = calls.plainest(DOCUMENT, operation)
    before = state()
    assert rest.request(operation.method, call.path, **call.options()).status_code == 200
    assert state() != before
