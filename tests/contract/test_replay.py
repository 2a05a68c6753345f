"""The contracts' examples are real calls: each is made, and answered as the contract says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_rest_api.web import contract
from tests.support import calls, clients

DOCUMENT = contract.load("openapi.yaml")
OLD = contract.load("legacy.yaml")


# At which door old calls are replayed.
DIALECT, OLD_DOOR = "ebay", "/rest_api/api"
# Nobody runs tasks here, and these would wait for their end.
WITHOUT_WAITING = {"/run": {"mark_success": "true"}, "/backfill": {"dry_run": "true"}}


def replays(document, name):
    """The replays of a contract, each with the name of the contract."""
    return [
        pytest.param(
            name,
            replace(call, params={**further_arguments(document, operation), **call.params}),
            id=f"{name}{call}",
        )
        for operation in contract.operations(document)
        for call in calls.replays(document, operation)
    ]


def further_arguments(document, operation):
    """What an old call needs in one dialect and not in the other, and what keeps it from waiting."""
    rule = document["paths"][operation.path].get("x-legacy", {}).get("required", {})
    needed = rule.get(DIALECT, [])
    examples = {
        entry["name"]: calls.example_of(entry)
        for entry in contract.parameters(document, operation)
        if entry["name"] in needed
    }
    return examples | (WITHOUT_WAITING.get(operation.path, {}) if document is OLD else {})


REPLAYS = replays(DOCUMENT, "") + replays(OLD, "old-")
READS = [entry for entry in REPLAYS if entry.values[1].operation.read_only]
CHANGES = [entry for entry in REPLAYS if not entry.values[1].operation.read_only]
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


def of_both_methods(*names, status):
    return {f"{method}{name}": status for name in names for method in ("", "post_")}


# The same of old calls, by their names.
OLD_REFUSED = {
    # The switches are off, and the upload root is another folder.
    **of_both_methods("deploy_dag", "delete_dag", "test", status=403),
    **of_both_methods("kerberos", "worker", "flower", "scheduler", "serve_logs", status=403),
    "upload_file-path": 400,
    # All of the run has succeeded.
    **of_both_methods("restart_failed_task", "kill_running_tasks", status=404),
}


TOLD = {"": (DOCUMENT, REFUSED), "old-": (OLD, OLD_REFUSED)}


@pytest.fixture
def replay(rest, token):
    """`replay(contract, call)`: make a call, and compare its answer with the contract."""
    services = {"": rest, "old-": clients.Client(rest.http, OLD_DOOR, token)}

    def replay(name, call):
        answer = services[name].request(call.operation.method, call.path, **call.options())
        assert_answered_as_told(answer, call, *TOLD[name])

    return replay


def assert_answered_as_told(answer, call, document, refused):
    operation = call.operation
    refusal = refused.get(str(call), refused.get(operation.operation_id))
    assert answer.status_code == (refusal or operation.status), answer.text
    if refusal:
        return
    media_type = answer.headers.get("content-type", "").split(";")[0]
    assert media_type in (operation.media_types or ("",))
    if media_type == contract.JSON:
        response = contract.dereference(document, operation.definition["responses"][str(operation.status)])
        assert calls.matches(document, response["content"][media_type]["schema"], answer.json()) == []


@pytest.mark.parametrize(("name", "call"), READS)
def test_an_example_of_a_read_is_answered_as_the_contract_says(replay, name, call):
    replay(name, call)


@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize(("name", "call"), CHANGES)
def test_an_example_of_a_change_is_answered_as_the_contract_says(replay, name, call):
    replay(name, call)
