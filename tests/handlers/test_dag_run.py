"""Reading one run: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

from urllib.parse import quote

import pytest


class TestGetDagRun:
    @pytest.mark.parametrize(
        "name",
        [
            "example",
            "succeeded",
            "failed",
            "running",
            "queued",
            "backfilled",
            "mapped_run",
            "old_version",
            "asset_triggered",
        ],
    )
    def test_it_answers_what_airflow_answers(self, parity, scenario, name):
        ours, _ = parity("GET", getattr(scenario, name).path)
        assert ours.json()["dag_run_id"] == getattr(scenario, name).dag_run_id

    def test_the_whole_answer(self, rest, scenario):
        answer = rest.get(scenario.example.path).json()
        (version,) = answer.pop("dag_versions")
        assert version["dag_id"] == scenario.example.dag_id
        assert version["version_number"] == 1
        assert answer == {
            "dag_run_id": "manual__2026-01-01T00:00:00+00:00",
            "dag_id": "example_bash_operator",
            "logical_date": "2026-01-01T00:00:00Z",
            "queued_at": "2026-01-01T00:00:00Z",
            "start_date": "2026-01-01T00:00:05Z",
            "end_date": "2026-01-01T00:30:00.250000Z",
            "duration": 1795.25,
            "data_interval_start": "2026-01-01T00:00:00Z",
            "data_interval_end": "2026-01-01T00:00:00Z",
            "run_after": "2026-01-01T00:00:00Z",
            "last_scheduling_decision": None,
            "run_type": "manual",
            "state": "success",
            "triggered_by": "rest_api",
            "triggering_user_name": "admin",
            "conf": {"example_key": "from_conf"},
            "note": "The example run.",
            "bundle_version": None,
            "dag_display_name": "example_bash_operator",
            "partition_key": None,
            "partition_date": None,
        }

    def test_the_keys_come_in_airflows_order(self, parity, scenario):
        ours, theirs = parity("GET", scenario.succeeded.path)
        assert list(ours.json()) == list(theirs.json())

    def test_a_run_of_a_versioned_bundle_keeps_to_one_version(self, parity, new_run):
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import update

        run = new_run(task_states={"first": "success"})
        with create_session(scoped=False) as session:
            session.execute(
                update(DagRun).where(DagRun.run_id == run.dag_run_id).values(bundle_version="8f2c1e0")
            )
        ours, _ = parity("GET", run.path)
        assert [version["version_number"] for version in ours.json()["dag_versions"]] == [1]
        parity("GET", f"/dags/{run.dag_id}/dagRuns", params={"bundle_version": "8f2c1e0"})
        with create_session(scoped=False) as session:
            session.execute(
                update(DagRun).where(DagRun.run_id == run.dag_run_id).values(created_dag_version_id=None)
            )
        ours, _ = parity("GET", run.path)
        assert ours.json()["dag_versions"] == []

    def test_a_run_that_went_on_with_another_version_has_both(self, parity, rest, new_run, v2):
        run = new_run("versioned", state="success", task_states={"kept_task": "success"})
        _move_to_version(run, 1)
        ours, _ = parity("GET", run.path)
        assert [version["version_number"] for version in ours.json()["dag_versions"]] == [1, 2]

    def test_a_run_of_a_deleted_dag_is_shown_by_the_id_of_the_dag(self, rest):
        # Airflow fails on it (500): its model demands a display name.
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session(scoped=False) as session:
            session.add(DagRun("deleted", "manual__left-over", run_type="manual", state="failed"))
        answer = rest.get("/dags/deleted/dagRuns/manual__left-over")
        with create_session(scoped=False) as session:
            session.execute(delete(DagRun).where(DagRun.dag_id == "deleted"))
        assert answer.status_code == 200
        assert answer.json()["dag_display_name"] == "deleted"

    @pytest.mark.parametrize(
        "path", ["/dags/etl/dagRuns/none", "/dags/no_such_dag/dagRuns/none", "/dags/~/dagRuns/manual__none"]
    )
    def test_a_run_that_does_not_exist_is_not_found(self, parity, path):
        ours, _ = parity("GET", path)
        assert ours.status_code == 404
        assert ours.json()["type"] == "urn:airflow-rest-api:problem:dag-run-not-found"

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_may_read_it(self, parity, scenario, role, status):
        ours, _ = parity("GET", scenario.example.path, role=role)
        assert ours.status_code == status


def test_ids_with_reserved_characters_are_found(parity, new_run):
    run = new_run(run_id="manual__a b".replace(" ", "+") + ":c~d.e")
    ours, _ = parity("GET", f"/dags/{run.dag_id}/dagRuns/{quote(run.dag_run_id)}")
    assert ours.json()["dag_run_id"] == run.dag_run_id


def _move_to_version(run, number):
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        version = session.scalar(
            select(DagVersion).where(DagVersion.dag_id == run.dag_id, DagVersion.version_number == number)
        )
        instance = session.scalar(
            select(TaskInstance).where(TaskInstance.run_id == run.dag_run_id).order_by(TaskInstance.task_id)
        )
        assert version is not None
        instance.dag_version_id = version.id
