"""README's table of operations is the contract's list."""

from __future__ import annotations

from airflow_rest_api.web import contract
from tests.support.environment import ROOT

MARKER = "<!-- operations -->"


def table() -> list[str]:
    """The rows between the two markers, without the head."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(MARKER) == 2, f"README.md has no table between two lines {MARKER}"
    rows = [line.strip() for line in text.split(MARKER)[1].splitlines() if line.strip()]
    return [row.replace("`", "") for row in rows[2:]]


def test_the_table_of_operations_is_the_contract():
    operations = contract.operations(contract.load("openapi.yaml"))
    assert table() == [
        f"| {operation.tag} | {operation.operation_id} | {operation.method} {operation.path} |"
        for operation in operations
    ]
