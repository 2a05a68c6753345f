"""Contract and handlers fit one to one: operationId ↔ function in the module of the tag."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_rest_api.web import contract
from tests.support.environment import ROOT

POST = "post_"
OPERATIONS = [
    operation
    for name in contract.BASE_PATHS
    for operation in contract.operations(contract.load(name))
    # One function answers both methods of an old call.
    if not (name == "legacy.yaml" and operation.operation_id.startswith(POST))
]
MODULES = sorted({operation.module for operation in OPERATIONS})
OLD_OPERATIONS = contract.operations(contract.load("legacy.yaml"))
OLD_MODULES = sorted({operation.module for operation in OLD_OPERATIONS})
MOST_LINES = 6


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    }


def body_lines(function: ast.FunctionDef) -> int:
    first, last = function.body[1], function.body[-1]
    return (last.end_lineno or last.lineno) - first.lineno + 1


def aliases(path: Path) -> dict[str, str]:
    """The names of a module that stand for another one."""
    return {
        target.id: node.value.id
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("module", MODULES)
def test_the_functions_of_a_module_are_the_operations_of_its_tag(module):
    wanted = {operation.operation_id for operation in OPERATIONS if operation.module == module}
    assert set(functions(ROOT / "handlers" / f"{module}.py")) == wanted


@pytest.mark.parametrize("module", OLD_MODULES)
def test_an_old_call_is_one_function_for_both_methods(module):
    names = {operation.operation_id for operation in OLD_OPERATIONS if operation.module == module}
    wanted = {name: name.removeprefix(POST) for name in names if name.startswith(POST)}
    assert aliases(ROOT / "handlers" / f"{module}.py") == wanted


@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: f"{operation.module}-{operation.operation_id}"
)
def test_a_handler_says_the_summary_and_little_else(operation):
    function = functions(ROOT / "handlers" / f"{operation.module}.py")[operation.operation_id]
    assert ast.get_docstring(function) == f"{operation.definition['summary']}."
    assert body_lines(function) <= MOST_LINES
    assert not any(isinstance(node, ast.Try) for node in ast.walk(function))


@pytest.mark.parametrize("path", sorted((ROOT / "handlers").glob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_handlers_belongs_to_a_tag_of_a_contract(path):
    tags = {
        operation.module
        for name in contract.BASE_PATHS
        for operation in contract.operations(contract.load(name))
    }
    assert path.stem in {*tags, "__init__"}


@pytest.mark.parametrize("name", contract.BASE_PATHS)
def test_each_contract_is_valid_openapi(name):
    from openapi_spec_validator import OpenAPIV30SpecValidator

    assert [error.message for error in OpenAPIV30SpecValidator(contract.load(name)).iter_errors()] == []
