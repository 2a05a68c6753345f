"""Validation, of what a sandbox says that nobody would write."""

from __future__ import annotations

import pytest

from airflow_rest_api.sandbox.verdict import ParsedDag, ParsedFile, Verdict
from airflow_rest_api.services.deployments import sandboxes, validation


def verdict(**found):
    empty = {"dags": (), "errors": (), "variables": (), "connections": ()}
    file = ParsedFile(path="dag.py", ignored_by=None, provider=None, **{**empty, **found})
    return Verdict((file,), 0.1, "full")


def test_no_statement_asks_for_more_names_than_databases_take():
    names = tuple(f"name_{number}" for number in range(100_000))
    found = verdict(variables=names, connections=names)
    assert [(kind, len(asked)) for kind, asked in validation._mentioned(found)] == [
        ("variable", 1000),
        ("connection", 1000),
    ]


def test_more_dags_than_anybody_deploys_at_once_are_refused(monkeypatch):
    dags = tuple(ParsedDag(f"dag_{number}", "dag.py", (), None, ()) for number in range(5001))
    monkeypatch.setattr(sandboxes, "verdict_on", lambda *_: verdict(dags=dags))
    with pytest.raises(validation.TooManyDags, match="more than 5000 DAGs"):
        validation.checked(None, caller=None, sandbox=None)
