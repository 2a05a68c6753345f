"""Changing a run's state and note, and who hears of it: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import pytest

from tests.support.dag_runs import of_type

IN_FLIGHT = {"first": "success", "second": "running", "third": None, "alone": "deferred"}


class TestPatchDagRun:
    @pytest.mark.parametrize("to", ["queued", "success", "failed"])
    @pytest.mark.parametrize("state", ["queued", "running", "success", "failed"])
    def test_a_state_is_set_as_airflow_sets_it(self, alike, state, to):
        states = {"first": "success", "second": "running", "third": None, "alone": "failed"}
        answer = alike(
            lambda client, run: client.patch(run.path, json={"state": to}), state=state, task_states=states
        )
        assert answer.json()["state"] == to

    def test_mapped_tasks_are_ended_too(self, alike):
        answer = alike(
            lambda client, run: client.patch(run.path, json={"state": "failed"}),
            dag_id="mapped",
            state="running",
            task_states={"numbers": "success", "say": "running", "total": "scheduled"},
        )
        assert answer.json()["state"] == "failed"

    @pytest.mark.parametrize(
        ("notes", "left"),
        [
            (["One."], "One."),
            (["One.", "Two."], "Two."),
            (["One.", ""], None),
            (["One.", None], None),
            ([None], None),
            ([""], None),
            (["One.", "", "Two."], "Two."),
        ],
        ids=str,
    )
    def test_a_note_is_written_rewritten_and_removed(self, alike, notes, left):
        def call(client, run):
            return [client.patch(run.path, json={"note": note}) for note in notes][-1]

        assert alike(call).json()["note"] == left

    def test_who_wrote_the_note_is_kept(self, rest, new_run):
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        run = new_run()
        for role in ("op", "user"):
            assert rest.patch(run.path, json={"note": role}, role=role).json()["note"] == role
            with create_session(scoped=False) as session:
                stored = session.scalar(select(DagRun).where(DagRun.run_id == run.dag_run_id)).dag_run_note
                assert (stored.content, stored.user_id) == (role, role)

    @pytest.mark.parametrize(
        ("mask", "state", "note"),
        [
            (["state"], "failed", None),
            (["note"], "running", "New."),
            (["note", "state"], "failed", "New."),
        ],
        ids=str,
    )
    def test_a_mask_says_which_fields_count(self, alike, mask, state, note):
        body = {"state": "failed", "note": "New."}
        answer = alike(
            lambda client, run: client.patch(run.path, params={"update_mask": mask}, json=body),
            state="running",
        )
        assert (answer.json()["state"], answer.json()["note"]) == (state, note)

    @pytest.mark.parametrize("body", [{}, {"state": None}, {"state": None, "note": None}], ids=str)
    def test_nothing_changes_nothing(self, alike, body):
        answer = alike(lambda client, run: client.patch(run.path, json=body), state="running")
        assert answer.json()["state"] == "running"

    @pytest.mark.parametrize(
        "body",
        [{"state": "running"}, {"state": "x"}, {"note": "x" * 1001}, {"colour": "blue"}, []],
        ids=lambda body: str(body)[:30],
    )
    def test_what_means_nothing_is_refused(self, parity, scenario, body):
        ours, _ = parity("PATCH", scenario.example.path, json=body)
        assert ours.status_code == 400

    def test_a_run_that_does_not_exist_is_not_found(self, parity):
        ours, _ = parity("PATCH", "/dags/manual/dagRuns/none", json={"state": "failed"})
        of_type(ours, "dag-run-not-found")

    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200)]
    )
    def test_who_may_change_it(self, parity, new_run, role, status):
        ours, _ = parity("PATCH", new_run().path, json={"note": "x"}, role=role)
        assert ours.status_code == status


@pytest.mark.in_process
class TestListeners:
    def test_they_hear_of_a_success_and_of_the_note_that_came_with_it(self, rest, new_run, heard):
        run = new_run(state="running", task_states=IN_FLIGHT)
        assert rest.patch(run.path, json={"state": "success", "note": "Fine."}).status_code == 200
        assert sorted(heard) == [
            ("run succeeded", run.dag_run_id, "Fine."),
            ("task succeeded", "alone"),
            ("task succeeded", "second"),
        ]

    def test_they_hear_of_a_failure_and_may_fail_themselves(self, rest, new_run, heard):
        run = new_run(state="running", task_states=IN_FLIGHT)
        answer = rest.patch(run.path, json={"state": "failed"})
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
        assert sorted(heard) == [
            ("run failed", run.dag_run_id, "manual"),
            ("task failed", "alone"),
            ("task failed", "second"),
        ]

    def test_they_hear_nothing_of_a_queued_run(self, rest, new_run, heard):
        assert rest.patch(new_run(state="failed").path, json={"state": "queued"}).status_code == 200
        assert heard == []
