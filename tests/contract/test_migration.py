"""The guide from the old calls to version 1 (`docs/migration.md`) is complete and true: what it shows is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airflow_rest_api.web import contract
from tests.support import calls, curl
from tests.support.environment import ROOT

MARKER = "<!-- calls -->"
GUIDE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
NEW = contract.load("openapi.yaml")
OLD = contract.load("legacy.yaml")
OPERATIONS = contract.operations(NEW)
# What is no call by name, and its operation of version 1.
LOGIN = {"/api/v1/security/login": "login", "/api/v1/security/refresh": "refresh_token"}
VARIABLES = {
    "HOST": "",
    "AUTH": "X-Nothing: here",
    "JSON": "Content-Type: application/json",
    "OLD": "/admin/rest_api/api",
    "EBAY": "/rest_api/api",
    "NEW": "/rest_api/v1",
    "RUN": "scheduled__2026-01-06T01:30:00+00:00",
}
FILES = {
    "etl.py": b"from airflow.sdk import DAG\n\ndag = DAG('etl', schedule=None)\n",
    "churn.bin": b"weights\n",
}
# What is switched off here, what has nothing to do in the scenario, and what tests have to make first.
NEW_STATUS = {
    **dict.fromkeys(("deploy_dag", "delete_dag", "test_task", "start_component"), 403),
    "refresh_token": 401,
    # Nothing was stored, since nothing has really run.
    "get_rendered_fields": 404,
}
# The same of the old ones.
OLD_STATUS = {
    **dict.fromkeys(("deploy_dag", "delete_dag", "test"), 403),
    **dict.fromkeys(("scheduler", "worker", "flower", "kerberos", "serve_logs"), 403),
    # The upload root is another folder, and nothing was rendered, since nothing has really run.
    "upload_file": 400,
    "render": "stderr",
    "/api/v1/security/refresh": 422,
}
# These wait for an end that nobody brings about here.
WAITS = {"run", "backfill"}


@dataclass(frozen=True)
class Row:
    """A row of the guide's table."""

    name: str
    plugin: str
    operation: str


def rows() -> list[Row]:
    assert GUIDE.count(MARKER) == 2
    lines = [line for line in GUIDE.split(MARKER)[1].splitlines() if line.startswith("| `")]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == 4 and row[3] for row in cells)
    return [Row(*row[:3]) for row in cells]


def shown() -> Iterator[tuple[str, curl.Curl]]:
    """The command lines of the guide with the names of the calls that they belong to."""
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL):
        name = ""
        for line in block.splitlines():
            if line.startswith("# "):
                name = line[2:]
            elif line.startswith("curl "):
                yield name, curl.read(line, VARIABLES)


ROWS = {row.name: row for row in rows()}
SHOWN = list(shown())
OLD_CALLS = [(name, call) for name, call in SHOWN if not call.path.startswith(VARIABLES["NEW"])]
NEW_CALLS = [(name, call) for name, call in SHOWN if call.path.startswith(VARIABLES["NEW"])]


def label(call: curl.Curl) -> str:
    """How a command line is called among tests."""
    return f"{call.method} {call.address}"


def operation_of(call: curl.Curl) -> contract.Operation:
    """The operation of version 1 that a command line calls."""
    path = call.path.removeprefix(VARIABLES["NEW"])
    found = [
        operation
        for operation in OPERATIONS
        if operation.method == call.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", operation.path), path)
    ]
    assert found, f"{call.method} {path} is no operation"
    return min(found, key=lambda operation: operation.path.count("{"))


def form_of(name: str, method: str) -> dict[str, object]:
    """The fields of an old call's form."""
    body = contract.dereference(OLD, OLD["paths"][f"/{name}"][method].get("requestBody", {}))
    media = next(iter(body.get("content", {}).values()), {"schema": {}})
    return contract.dereference(OLD, media["schema"]).get("properties", {})


class TestTable:
    def test_every_old_call_has_one_row(self):
        assert {path.lstrip("/") for path in OLD["paths"]} | set(LOGIN) == set(ROWS)
        assert len(rows()) == len(ROWS)

    @pytest.mark.parametrize("path", OLD["paths"])
    def test_a_row_says_what_the_contract_says(self, path):
        told = OLD["paths"][path]["x-legacy"]
        row = ROWS[path.lstrip("/")]
        assert row.operation == told["successor"]
        plugins = {"clairvoyant": "Clairvoyant", "ebay": "eBay"}
        assert row.plugin == ("both" if len(told["plugins"]) == 2 else plugins[told["plugins"][0]])

    def test_the_login_has_its_operations(self):
        assert {name: ROWS[name].operation for name in LOGIN} == LOGIN


class TestCommandLines:
    def test_every_row_shows_both(self):
        assert {name for name, _ in OLD_CALLS} == {name for name, _ in NEW_CALLS} == set(ROWS)

    @pytest.mark.parametrize("name", ROWS)
    def test_the_new_ones_call_the_operation_of_the_row(self, name):
        called = [operation_of(call).operation_id for other, call in NEW_CALLS if other == name]
        assert ROWS[name].operation in called

    @pytest.mark.parametrize(
        "call", [call for name, call in OLD_CALLS if f"/{name}" in OLD["paths"]], ids=label
    )
    def test_the_old_ones_send_what_the_contract_knows(self, call):
        query = dict(call.query)
        name = query.pop("api")
        (operation,) = (
            entry
            for entry in contract.operations(OLD)
            if (entry.path, entry.method) == (f"/{name}", call.method)
        )
        parameters = {entry["name"]: entry for entry in contract.parameters(OLD, operation)}
        form = form_of(name, call.method.lower()) if call.fields else {}
        assert set(query) <= set(parameters)
        assert {field for field, _ in call.fields} <= {*form, *parameters}
        given = {*query, *(field for field, _ in call.fields)}
        assert {entry["name"] for entry in parameters.values() if entry.get("required")} <= given

    @pytest.mark.parametrize("call", [call for _, call in NEW_CALLS], ids=label)
    def test_the_new_ones_send_what_the_contract_takes(self, call):
        operation = operation_of(call)
        known = {entry["name"] for entry in contract.parameters(NEW, operation) if entry["in"] == "query"}
        assert {name for name, _ in call.query} <= known
        if call.data is not None:
            schema = operation.definition["requestBody"]["content"][contract.JSON]["schema"]
            assert calls.matches(NEW, schema, json.loads(call.data)) == []


def other_answers(rest, token, given, expected):
    """The answers that are others than expected."""
    headers = {"Authorization": f"Bearer {token('admin')}"}
    found = []
    for name, call in given:
        answer = call.send(rest.http, {} if name in LOGIN else headers, FILES)
        if (told := said(answer)) != expected(name, call):
            found.append(f"{name} {call.method} {call.address}: {told}, {answer.text}")
    return "\n".join(found)


def said(answer):
    """The status of an answer, or that an old call failed behind a 200."""
    told = answer.json() if answer.status_code == 200 else {}
    output = told.get("output") if isinstance(told, dict) else None
    failed = isinstance(output, dict) and output.get("stderr")
    return "stderr" if failed else answer.status_code


@pytest.mark.usefixtures("restored_database")
def test_the_new_ones_are_answered(rest, token):
    def expected(_, call):
        operation = operation_of(call)
        return NEW_STATUS.get(operation.operation_id, operation.status)

    assert other_answers(rest, token, NEW_CALLS, expected) == ""


@pytest.mark.usefixtures("restored_database")
def test_the_old_ones_are_answered(rest, token):
    given = [(name, call) for name, call in OLD_CALLS if name not in WAITS]
    others = other_answers(rest, token, given, lambda name, _: OLD_STATUS.get(name, 200))
    assert others == "", others
