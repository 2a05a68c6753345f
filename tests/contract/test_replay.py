"""The contract's examples are real calls: each is made, and answered as the contract says."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract
from tests.support import calls

DOCUMENT = contract.load("openapi.yaml")
OPERATIONS = contract.operations(DOCUMENT)
REPLAYS = [call for operation in OPERATIONS for call in calls.replays(DOCUMENT, operation)]
READS = [call for call in REPLAYS if call.operation.read_only]
CHANGES = [call for call in REPLAYS if not call.operation.read_only]
# What the examples alone cannot make succeed: the call or its operation, and the refusal that it gets.
REFUSED = {
    # The secrets are made up.
    "login": 401,
    "refresh_token": 401,
    # Operations belong to who began them, and are forgotten.
    "get_operation": 404,
    "cancel_operation": 404,
    # Deployments are made by tests; the switches are off.
    "get_deployment": 404,
    "deploy_dag": 403,
    "rollback_deployment": 403,
    "validate_dag": 403,
    "test_task": 403,
    **dict.fromkeys(("start_component", "stop_component", "get_component_log"), 403),
    # The executor is another one.
    "get_celery_workers": 409,
    **dict.fromkeys(("shut_down_celery_worker", "add_celery_queue", "remove_celery_queue"), 403),
    **dict.fromkeys(("reveal_variable", "reveal_connection", "test_connection"), 403),
    # What the examples name has ended.
    **dict.fromkeys(("kill_dag_run", "kill_task_instance"), 409),
    # There are files only where somebody has put one.
    **dict.fromkeys(("get_file", "delete_file"), 404),
    # All of the run has succeeded, which is skipped on demand alone.
    **{f"skip_task_instance-{name}": 409 for name in ("required", "map_index", "downstream", "dry_run")},
    # No task of the example's run has failed.
    "restart_failed_tasks": 409,
    # The filters go with a partitioned DAG, which the DAG of the path's example is not.
    "get_dag_runs-partition_date_gte": 400,
    "get_dag_runs-partition_date_lte": 400,
}


def assert_answered_as_told(answer, call):
    operation = call.operation
    refusal = REFUSED.get(str(call), REFUSED.get(operation.operation_id))
    assert answer.status_code == (refusal or operation.status), answer.text
    if refusal:
        return
    media_type = answer.headers.get("content-type", "").split(";")[0]
    assert media_type in (operation.media_types or ("",))
    if media_type == contract.JSON:
        response = contract.dereference(DOCUMENT, operation.definition["responses"][str(operation.status)])
        assert calls.matches(DOCUMENT, response["content"][media_type]["schema"], answer.json()) == []


@pytest.mark.parametrize("call", READS, ids=str)
def test_an_example_of_a_read_is_answered_as_the_contract_says(rest, call):
    answer = rest.request(call.operation.method, call.path, **call.options())
    assert_answered_as_told(answer, call)


@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize("call", CHANGES, ids=str)
def test_an_example_of_a_change_is_answered_as_the_contract_says(rest, call):
    answer = rest.request(call.operation.method, call.path, **call.options())
    assert_answered_as_told(answer, call)
