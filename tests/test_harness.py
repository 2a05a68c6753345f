"""The ground that all other tests stand on: the scenario is there, each process has its own, differences are seen."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest

from tests.support import comparison, environment

STATES = [
    "deferred",
    "failed",
    "queued",
    "removed",
    "restarting",
    "running",
    "scheduled",
    "skipped",
    "success",
]
STATES += ["up_for_reschedule", "up_for_retry", "upstream_failed"]
ANSWER = {"total_entries": 2, "dags": [{"dag_id": "a", "tags": []}, {"dag_id": "b", "tags": ["x"]}]}


class TestScenario:
    def test_every_run_of_the_scenario_is_there(self, v2, scenario):
        for name in ("example", "succeeded", "failed", "running", "queued", "backfilled", "mapped_run"):
            assert v2.get(getattr(scenario, name).path).status_code == 200, name

    def test_a_dag_has_two_versions(self, v2, scenario):
        answer = v2.get(f"/dags/{scenario.versioned}/dagVersions").json()
        assert [entry["version_number"] for entry in answer["dag_versions"]] == [1, 2]

    def test_two_files_have_import_errors(self, v2):
        answer = v2.get("/importErrors").json()
        assert sorted(entry["filename"] for entry in answer["import_errors"]) == [
            "breaks_later.py",
            "broken.py",
        ]

    def test_stale_and_broken_dags_are_known(self, v2, scenario):
        stale = v2.get("/dags", params={"exclude_stale": False}).json()["dags"]
        assert {scenario.stale, scenario.broken} <= {dag["dag_id"] for dag in stale if dag["is_stale"]}
        assert v2.get(f"/dags/{scenario.broken_but_active}").json()["has_import_errors"] is True

    @pytest.mark.parametrize("state", [*STATES, "no_status"])
    def test_task_instances_are_in_every_state(self, v2, state):
        answer = v2.get("/dags/~/dagRuns/~/taskInstances", params={"state": state}).json()
        assert answer["total_entries"] > 0

    def test_a_retried_task_has_three_tries_with_logs(self, v2, scenario):
        path = f"{scenario.failed.path}/taskInstances/{scenario.retried_task}"
        tries = v2.get(f"{path}/tries").json()["task_instances"]
        assert [entry["try_number"] for entry in tries] == [1, 2, 3]
        for number in (1, 2, 3):
            assert f"Try {number} starts" in v2.get(f"{path}/logs/{number}").text

    def test_a_fresh_run_is_alone(self, v2, new_run):
        run = new_run(state="running", task_states={"first": "success"}, note="Fresh.")
        answer = v2.get(run.path).json()
        assert (answer["state"], answer["note"]) == ("running", "Fresh.")

    def test_a_restored_database_has_the_scenario_again(self, v2, home, new_run):
        from tests.support import template

        run = new_run()
        template.restore(home)
        assert v2.get(run.path).status_code == 404


class TestRoles:
    @pytest.mark.parametrize(
        ("role", "status"), [("admin", 200), ("viewer", 403), ("nobody", 403), (None, 401)]
    )
    def test_the_role_decides_what_a_caller_may_change(self, v2, scenario, role, status):
        answer = v2.patch(f"/dags/{scenario.paused}", json={"is_paused": True}, role=role)
        assert answer.status_code == status


@pytest.mark.postgres
class TestPostgres:
    def test_the_same_scenario_is_on_postgres(self, v2, scenario, new_run):
        from airflow import settings

        assert settings.engine.dialect.name == "postgresql"
        assert v2.get(scenario.failed.path).json()["state"] == "failed"
        assert v2.get(new_run().path).status_code == 200


class TestComparison:
    def test_equal_answers_have_no_differences(self):
        assert list(comparison.differences(ANSWER, ANSWER)) == []

    @pytest.mark.parametrize(
        ("theirs", "difference"),
        [
            ({**ANSWER, "total_entries": 3}, "$.total_entries: 2 | 3"),
            ({**ANSWER, "total_entries": True}, "$.total_entries: 2 | True"),
            ({**ANSWER, "dags": ANSWER["dags"][:1]}, "$.dags: 2 entries | 1 entries"),
            ({**ANSWER, "dags": ANSWER["dags"][::-1]}, "$.dags[0].dag_id: 'a' | 'b'"),
            ({**ANSWER, "next_cursor": None}, "$.next_cursor: missing | None"),
            ({"total_entries": 2}, "$.dags: [{"),
        ],
    )
    def test_every_difference_is_named_by_its_place(self, theirs, difference):
        assert any(found.startswith(difference) for found in comparison.differences(ANSWER, theirs))

    def test_a_refusal_must_be_a_problem(self):
        request = httpx.Request("GET", "http://test/dags")
        theirs = httpx.Response(404, json={"detail": "no"}, request=request)
        with pytest.raises(AssertionError):
            comparison.assert_same(httpx.Response(404, json={"status": 404}, request=request), theirs)

    def test_invalid_input_is_400_where_airflow_has_422(self):
        request = httpx.Request("GET", "http://test/dags")
        problem = {"content-type": "application/problem+json"}
        theirs = httpx.Response(422, json={"detail": []}, request=request)
        ours = httpx.Response(400, json={"status": 400}, headers=problem, request=request)
        comparison.assert_same(ours, theirs)
        with pytest.raises(AssertionError):
            comparison.assert_same(httpx.Response(422, request=request), theirs)


GROUPED = """
import pytest

@pytest.mark.xdist_group("costly")
@pytest.mark.parametrize("number", range(6))
def test_costly(number, worker_id):
    import time
    time.sleep(0.2)

@pytest.mark.parametrize("number", range(4))
def test_short(number):
    pass

@pytest.mark.timeout(900)
def test_long():
    pass
"""


@pytest.mark.slow
class TestGroups:
    def test_they_stay_on_one_worker_and_what_may_take_long_comes_before_the_rest(self, tmp_path):
        (tmp_path / "test_grouped.py").write_text(GROUPED)
        hooks = "from tests.support import grouping\n\n"
        hooks += "def pytest_collection_modifyitems(config, items):\n    grouping.keep_groups_together(config, items)\n"
        (tmp_path / "conftest.py").write_text(hooks)
        command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", tmp_path, tmp_path, "-v"]
        command += ["-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
        variables = environment.inherited() | {"PYTHONPATH": str(environment.ROOT)}
        result = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stdout
        assert len(set(re.findall(r"\[(gw\d)\].*test_costly", result.stdout))) == 1, result.stdout
        singles = re.findall(r"\[gw\d\].*test_(short|long)", result.stdout)
        assert singles == ["long", *["short"] * 4], result.stdout


def test_the_readme_names_every_module():
    support = environment.ROOT / "tests" / "support"
    rows = re.findall(
        r"^\| (`.*`) \|", (support / "README.md").read_text().split("## Modules")[1], re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {path.stem for path in support.glob("*.py")} - {"__init__"}
