"""`scripts/bench` in its quick form: both servers run, their answers agree, and the ratios are there."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support import postgres
from tests.support.environment import ROOT

OPERATIONS = ["get_version", "get_dags", "get_task_instances_all", "trigger_dag_run"]
OLD_CALLS = ["old_version", "old_list_dags", "old_dag_state", "old_pause"]
LEAST_OLD_RATIO = 100


@pytest.mark.timeout(360)
@pytest.mark.xdist_group("bench")
def test_the_quick_form_measures_both_services_and_compares_their_answers(tmp_path, pytestconfig):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts servers of its own")
    postgres.require()
    report = tmp_path / "bench.json"
    done = subprocess.run(
        [ROOT / "scripts" / "bench", "--quick", "--only", ",".join(OPERATIONS + OLD_CALLS), "--json", report],
        env={name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "COV"))},
        capture_output=True,
        text=True,
        timeout=340,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = json.loads(report.read_text())
    rows = {row["operation"]: row for row in results["operations"]}
    assert list(rows) == OPERATIONS
    for name, row in rows.items():
        assert set(row["cells"]) == {"airflow", "service"}, name
        assert not row.get("differences"), name
    assert "geometric mean of 3 shared reads" in done.stdout
    ratios = {row["name"]: row["ratio"] for row in results["old_calls"]}
    assert list(ratios) == OLD_CALLS
    assert min(ratios.values()) >= LEAST_OLD_RATIO, ratios
