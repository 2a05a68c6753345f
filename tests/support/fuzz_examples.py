"""Examples that name existing objects, so that the operations of a fuzzed contract succeed at least once.

The contract's own examples name few objects in the right state, and no deployment. Before each example is sent, the
database is restored to the state that `prepare` has left (`fuzz_record.py`): others have deleted much of it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from airflow_rest_api.web import contract
from tests.support.scenario import SCENARIO

Examples = Mapping[str, Mapping[str, Any]]
METHODS = ("get", "put", "post", "patch", "delete")
# A run of the DAG `manual`.
RUNNING = "manual__2026-01-10T12:00:00+00:00"
FILE = ("a.csv", b"1,2")
DAG_FILE = ("fuzzed.py", b"from airflow.sdk import DAG\n\ndag = DAG('fuzzed', schedule=None)\n")


def prepare(client: httpx.Client) -> Examples:
    """Create a file, a deployment and an operation as an administrator; return path parameters by operation id."""
    _created(client, "/files", file=FILE, root=(None, "files"), path=(None, "reports/daily.csv"))
    deployed = _created(client, "/deployments", dag_file=DAG_FILE, path=(None, "fuzzed.py"))
    deployment = {"deployment_id": deployed["deployment_id"]}
    killed = _created(client, f"/dags/{SCENARIO.manual}/dagRuns/{quote(RUNNING)}/kill")
    running, failed = (
        {"dag_id": run.dag_id, "dag_run_id": run.dag_run_id} for run in (SCENARIO.running, SCENARIO.failed)
    )
    return {
        "get_deployment": deployment,
        "rollback_deployment": deployment,
        "get_operation": {"operation_id": killed["operation_id"]},
        "restart_failed_tasks": failed,
        "skip_task_instance": {**failed, "task_id": SCENARIO.retried_task},
        "kill_dag_run": running,
        "kill_task_instance": {**running, "task_id": SCENARIO.retried_task},
    }


def put_into(document: dict[str, Any], examples: Examples) -> None:
    """Write the examples into a contract, and make the examples of forms known to tools (`x-examples`)."""
    for path, item, operation in _operations(document):
        given = examples.get(operation["operationId"], {})
        if given:
            parameters = [
                _referred(document, entry)
                for entry in [*item.get("parameters", []), *operation.get("parameters", [])]
            ]
            operation["parameters"] = [_with_example(entry, given) for entry in parameters]
            assert given.keys() <= {entry["name"] for entry in parameters}, path
        body = _referred(document, operation.get("requestBody", {}))
        for media_type, media in body.get("content", {}).items():
            if media_type == contract.FORM and "x-examples" in media:
                media["examples"] = media.pop("x-examples")


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, item, item[method]


def _referred(document: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = contract.dereference(document, entry)
    return found


def _with_example(parameter: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    if parameter["in"] != "path" or parameter["name"] not in given:
        return parameter
    kept = {name: value for name, value in parameter.items() if name not in ("example", "examples")}
    return {**kept, "example": given[parameter["name"]]}


def _created(client: httpx.Client, address: str, /, **form: tuple[str | None, Any]) -> dict[str, Any]:
    response = client.post(address, **({"files": form} if form else {"json": {}}))
    assert response.is_success, f"{address}: {response.text}"
    found: dict[str, Any] = response.json()
    return found
