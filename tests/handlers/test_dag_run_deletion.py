"""Deleting runs: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import pytest

from tests.support.dag_runs import of_type


class TestDeleteDagRun:
    @pytest.mark.parametrize("state", ["queued", "success", "failed"])
    def test_a_run_is_gone_with_its_task_instances(self, alike, v2, state):
        runs = []

        def call(client, run):
            runs.append(run)
            return client.delete(run.path)

        answer = alike(call, state=state, task_states={"first": "success"}, note="A note.")
        assert (answer.status_code, answer.content) == (204, b"")
        for run in runs:
            assert v2.get(run.path).status_code == 404

    def test_a_running_one_is_not_deleted(self, alike):
        answer = alike(lambda client, run: client.delete(run.path), state="running")
        assert answer.status_code == 409
        of_type(answer, "dag-run-is-running")

    def test_the_second_time_it_is_not_found(self, rest, new_run):
        run = new_run()
        assert [rest.delete(run.path).status_code for _ in range(2)] == [204, 404]

    def test_a_run_that_does_not_exist_is_not_found(self, parity):
        ours, _ = parity("DELETE", "/dags/manual/dagRuns/none")
        of_type(ours, "dag-run-not-found")

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 204)]
    )
    def test_who_may_delete(self, alike, role, status):
        answer = alike(lambda client, run: client.delete(run.path, role=role))
        assert answer.status_code == status
