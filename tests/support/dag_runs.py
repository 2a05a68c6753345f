"""What the tests that change runs share: states of tasks, the name of a refusal, and what stands for a new run."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.scenario import Run
from tests.support.twins import plain

STATES = {"first": "success", "second": "failed", "third": "upstream_failed", "alone": "running"}


def of_type(answer: httpx.Response, name: str) -> None:
    """Assert that an answer is the problem of this name."""
    assert answer.json()["type"] == f"urn:airflow-rest-api:problem:{name}", answer.text


def anonymous(value: dict[str, Any]) -> dict[str, Any]:
    """Take out of a run, or a list of runs, what differs between two new ones: the id and the times."""
    runs = value.get("dag_runs", [value])
    cleaned = [plain({**run, "dag_run_id": "the run"}, Run(run["dag_id"], run["dag_run_id"])) for run in runs]
    return {**value, "dag_runs": cleaned} if "dag_runs" in value else cleaned[0]
