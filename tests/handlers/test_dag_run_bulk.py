"""Changing and deleting runs in bulk: `openapi/paths/dag_run.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import pytest

from tests.support.bulk import delete, statuses, update, without_sentences
from tests.support.dag_runs import STATES


class TestBulkDagRuns:
    @pytest.fixture
    def bulk_alike(self, alike):
        """`bulk_alike(body of a run, path)`: the same bulk request about twins, errors compared by their status."""

        def compare(make_body, path="manual", **made):
            def call(client, run):
                answer = client.patch(f"/dags/{path}/dagRuns", json=make_body(run))
                return without_sentences(answer)

            return alike(call, **{"state": "failed", "task_states": STATES, **made})

        return compare

    @pytest.mark.parametrize(
        "wish",
        [
            {},
            {"state": "success"},
            {"state": "queued", "note": "Bulk."},
            {"note": ""},
            {"state": None, "note": None},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("path", ["manual", "~"])
    def test_runs_are_changed_as_by_airflow(self, bulk_alike, wish, path):
        def body(run):
            return update({"dag_id": run.dag_id, "dag_run_id": run.dag_run_id, **wish}, update_mask=["note"])

        answer = bulk_alike(body, path, note="Before.")
        assert answer.json()["update"]["errors"] == []
        assert answer.json()["create"] is answer.json()["delete"] is None

    @pytest.mark.parametrize("state", ["queued", "running", "success", "failed"])
    @pytest.mark.parametrize("as_text", [True, False])
    def test_runs_are_deleted_as_by_airflow(self, bulk_alike, state, as_text):
        answer = bulk_alike(
            lambda run: delete(run.dag_run_id if as_text else {"dag_run_id": run.dag_run_id}), state=state
        )
        assert bool(answer.json()["delete"]["errors"]) == (state == "running")

    @pytest.mark.parametrize("make", [update, delete])
    @pytest.mark.parametrize(
        "policy", [{}, {"action_on_non_existence": "fail"}, {"action_on_non_existence": "skip"}], ids=str
    )
    def test_missing_runs_stop_the_action_or_are_skipped(self, bulk_alike, make, policy):
        def body(run):
            return make({"dag_run_id": "none"}, {"dag_run_id": run.dag_run_id, "note": "Bulk."}, **policy)

        result = bulk_alike(body).json()["update" if make is update else "delete"]
        skipped = policy.get("action_on_non_existence") == "skip"
        assert (len(result["success"]), len(result["errors"])) == ((1, 0) if skipped else (0, 1))

    @pytest.mark.parametrize("make", [update, delete])
    @pytest.mark.parametrize("policy", ["skip", "fail"])
    @pytest.mark.parametrize(
        "wrong",
        [{"dag_run_id": "x" * 300}, {"dag_run_id": ""}, {"dag_id": "x" * 300}, {"dag_id": "~"}],
        ids=lambda wrong: str(wrong)[:40],
    )
    def test_one_wrong_entity_is_an_error_of_its_own(self, bulk_alike, make, policy, wrong):
        def body(run):
            good = {"dag_run_id": run.dag_run_id, "note": "Bulk."}
            return make({**good, **wrong}, good, action_on_non_existence=policy)

        assert bulk_alike(body).status_code == 200

    def test_several_actions_are_done_in_their_order_and_told_by_their_kind(self, bulk_alike):
        def body(run):
            name = {"dag_run_id": run.dag_run_id}
            first = update({**name, "note": "One."})["actions"]
            second = update({**name, "state": "success"}, {"dag_run_id": "none"})["actions"]
            made = [{"action": "create", "entities": [name], "action_on_existence": "overwrite"}]
            return {"actions": first + made + second}

        answer = bulk_alike(body).json()
        assert len(answer["update"]["success"]) == 1
        assert [error["status_code"] for error in answer["update"]["errors"]] == [404]
        assert [error["status_code"] for error in answer["create"]["errors"]] == [405]

    def test_what_was_deleted_cannot_be_changed(self, rest, new_run):
        # Airflow tells a success, and the run is gone all the same.
        run = new_run()
        actions = (
            delete(run.dag_run_id)["actions"] + update({"dag_run_id": run.dag_run_id, "note": "x"})["actions"]
        )
        answer = rest.patch("/dags/manual/dagRuns", json={"actions": actions}).json()
        assert answer["delete"]["success"] == [f"manual.{run.dag_run_id}"]
        assert [error["status_code"] for error in answer["update"]["errors"]] == [404]

    @pytest.mark.parametrize(
        "body",
        [
            {"actions": []},
            update(),
            delete(),
            delete("some run"),
            delete({"dag_run_id": "~", "dag_id": "manual"}, {"dag_run_id": "a"}),
            update({"dag_run_id": "a"}, {"dag_run_id": "b", "dag_id": "~"}),
            delete("x" * 300),
            *(
                make({"dag_run_id": "a", "dag_id": "manual", **names})
                for make in (update, delete)
                for names in ({"dag_run_id": ""}, {"dag_run_id": "x" * 300}, {"dag_id": "x" * 300})
            ),
        ],
        ids=str,
    )
    def test_runs_without_a_dag_are_told_one_by_one(self, v2, rest, body):
        theirs, ours = (client.patch("/dags/~/dagRuns", json=body) for client in (v2, rest))
        assert ours.status_code == theirs.status_code == 200
        assert statuses(ours.json()) == statuses(theirs.json())

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"actions": [{"action": "unheard-of", "entities": []}]},
            {"actions": [{"action": "update"}]},
            {"actions": [{"action": "update", "entities": ["a text"]}]},
            {"actions": [{"action": "delete", "entities": [], "update_mask": []}]},
            update({"dag_run_id": "a", "state": "running"}),
            update({"dag_run_id": "a", "colour": "blue"}),
            update({"dag_run_id": "a"}, action_on_non_existence="perhaps"),
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, v2, body):
        assert rest.patch("/dags/manual/dagRuns", json=body).status_code == 400
        if body and body["actions"][0]["action"] != "unheard-of":
            # Airflow fails on a kind of action that it does not know (500).
            assert v2.patch("/dags/manual/dagRuns", json=body).status_code == 422

    def test_a_dag_without_a_stored_form_stops_the_action(self, rest, new_run, restored_database):
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete as remove

        run = new_run("manual_paused")
        with create_session(scoped=False) as session:
            session.execute(remove(SerializedDagModel).where(SerializedDagModel.dag_id == run.dag_id))
        answer = rest.patch(
            "/dags/manual_paused/dagRuns", json=update({"dag_run_id": run.dag_run_id, "state": "failed"})
        )
        assert [error["status_code"] for error in answer.json()["update"]["errors"]] == [404]
        assert rest.patch(run.path, json={"note": "x"}).status_code == 404
        assert rest.post(f"{run.path}/clear", json={}).status_code == 404

    @pytest.mark.parametrize("action", ["create", "update", "delete"])
    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200), ("admin", 200)]
    )
    def test_who_may_do_what(self, v2, rest, action, role, status):
        body = {"actions": [{"action": action, "entities": [{"dag_run_id": "none"}]}]}
        theirs, ours = (client.patch("/dags/manual/dagRuns", json=body, role=role) for client in (v2, rest))
        assert ours.status_code == theirs.status_code == status

    def test_a_dag_that_only_the_body_names_is_asked_for_too(self, v2, rest):
        body = update({"dag_run_id": "none", "dag_id": "etl"})
        assert [c.patch("/dags/~/dagRuns", json=body, role="viewer").status_code for c in (v2, rest)] == [
            403,
            403,
        ]

    def test_nothing_to_ask_for_needs_no_permission(self, v2, rest):
        body = update({"dag_run_id": "none"})
        assert [c.patch("/dags/~/dagRuns", json=body, role="nobody").status_code for c in (v2, rest)] == [
            200,
            200,
        ]
