"""`scripts/bench` in its quick form: both servers run, their answers agree, and the ratios are there."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.support import postgres
from tests.support.environment import ROOT

OPERATIONS = ["get_version", "get_dags", "get_task_instances_all", "trigger_dag_run"]


@pytest.mark.timeout(360)
@pytest.mark.xdist_group("bench")
def test_the_quick_form_measures_both_services_and_compares_their_answers(tmp_path, pytestconfig):
    if pytestconfig.getoption("--service-url"):
        pytest.skip("starts servers of its own")
    postgres.require()
    report = tmp_path / "bench.json"
    done = subprocess.run(
        [ROOT / "scripts" / "bench", "--quick", "--only", ",".join(OPERATIONS), "--json", report],
        env={name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "COV"))},
        capture_output=True,
        text=True,
        timeout=340,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = {row["operation"]: row for row in json.loads(report.read_text())["operations"]}
    assert list(rows) == OPERATIONS
    for name, row in rows.items():
        assert set(row["cells"]) == {"airflow", "service"}, name
        assert not row.get("differences"), name
    assert "geometric mean of 3 shared reads" in done.stdout
