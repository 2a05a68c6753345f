"""Examples that name existing objects, so that the operations of a fuzzed contract succeed at least once.

The contract's own examples name few objects. The examples of operations that delete or end something would take these
away from all others, so they get objects of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from airflow_rest_api.web import contract
from tests.support.scenario import SCENARIO

Examples = Mapping[str, Mapping[str, Any]]
SPARE = "spare"
METHODS = ("get", "put", "post", "patch", "delete")
# The DAG `manual` has such a run at noon of each of twelve days; its state depends on the day.
FAILED_DAYS, RUNNING_DAY = (1, 5, 9), 10


def prepare(client: httpx.Client) -> Examples:
    """Create what only the fuzzer needs, with a client of an administrator; return path parameters by operation id."""
    _created(client, "/pools", {"name": SPARE, "slots": 1})
    _created(client, "/variables", {"key": SPARE, "value": "1"})
    _created(client, "/connections", {"connection_id": SPARE, "conn_type": "http"})
    dates = {"from_date": "2026-02-02T00:00:00Z", "to_date": "2026-02-09T00:00:00Z"}
    backfill = _created(client, "/backfills", {"dag_id": "by_trigger_timetable", **dates})
    for path in ("reports/daily.csv", f"{SPARE}.csv"):
        _created(
            client, "/files", files={"file": ("a.csv", b"1,2"), "path": (None, path), "root": (None, "files")}
        )
    file = {"dag_file": ("a.py", b"from airflow.sdk import DAG\n\ndag = DAG('fuzzed', schedule=None)\n")}
    deployment = _created(client, "/deployments", files={**file, "path": (None, "fuzzed.py")})
    deleted, changed, failed = (_manual_run(day) for day in FAILED_DAYS)
    running = {"dag_id": SCENARIO.running.dag_id, "dag_run_id": SCENARIO.running.dag_run_id}
    return {
        "delete_pool": {"pool_name": SPARE},
        "delete_variable": {"variable_key": SPARE},
        "delete_connection": {"connection_id": SPARE},
        "delete_file": {"path": f"{SPARE}.csv"},
        "delete_dag": {"dag_id": "manual_paused"},
        "delete_dag_run": deleted,
        "delete_task_instance": {**changed, "task_id": "first"},
        "skip_task_instance": {**changed, "task_id": "second"},
        "restart_failed_tasks": failed,
        "kill_dag_run": _manual_run(RUNNING_DAY),
        "kill_task_instance": {**running, "task_id": SCENARIO.retried_task},
        "cancel_backfill": {"backfill_id": backfill["id"]},
        "get_deployment": {"deployment_id": deployment["deployment_id"]},
        "rollback_deployment": {"deployment_id": deployment["deployment_id"]},
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


def _manual_run(day: int) -> dict[str, str]:
    return {"dag_id": SCENARIO.manual, "dag_run_id": f"manual__2026-01-{day:02}T12:00:00+00:00"}


def _created(client: httpx.Client, path: str, body: Any = None, **form: Any) -> dict[str, Any]:
    response = client.post(path, **(form or {"json": body}))
    assert response.is_success, f"{path}: {response.text}"
    found: dict[str, Any] = response.json()
    return found
