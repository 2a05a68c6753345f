"""Changing and deleting task instances in bulk: `openapi/paths/task_instance.yaml` against Airflow's `/api/v2`."""

from __future__ import annotations

import json

import pytest

from tests.support.bulk import delete, statuses, update, without_sentences
from tests.support.dag_runs import STATES
from tests.support.task_instances import at

MAPPED = {
    "numbers": "success",
    "say[0]": "failed",
    "say[1]": "running",
    "say[2]": "success",
    "say[3]": "queued",
}


class TestBulkTaskInstances:
    @pytest.fixture
    def bulk_alike(self, alike):
        """`bulk_alike(body of a run, path)`: the same bulk request about twins, errors compared by their status."""

        def compare(make_body, path=None, *, in_order=False, **made):
            def call(client, run):
                place = f"/dags/{path}/taskInstances" if path else at(run)
                answer = without_sentences(client.patch(place, json=make_body(run)))
                return _in_order(answer) if in_order else answer

            return alike(call, **{"state": "failed", "task_states": STATES, **made})

        return compare

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "wish",
        [
            {},
            {"new_state": "success"},
            {"new_state": "failed"},
            {"new_state": "skipped", "note": "Bulk."},
            {"new_state": "success", "include_downstream": True},
            {"new_state": "skipped", "include_upstream": True, "include_future": True},
            {"note": ""},
            {"note": None, "map_index": None, "dag_id": None},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("place", [None, "manual/dagRuns/~", "~/dagRuns/~"], ids=str)
    @pytest.mark.parametrize("index", [None, -1])
    def test_task_instances_are_changed_as_by_airflow(self, bulk_alike, wish, place, index):
        def body(run):
            names = {"dag_id": run.dag_id, "dag_run_id": run.dag_run_id} if place else {}
            return update({"task_id": "second", "map_index": index, **wish, **names})

        answer = bulk_alike(body, place)
        assert answer.status_code == 200

    @pytest.mark.parametrize("mask", [["note"], ["new_state"], ["include_past"], [], None], ids=str)
    def test_masks_are_as_in_airflow(self, bulk_alike, mask):
        wish = {"task_id": "second", "new_state": "skipped", "note": "Bulk."}
        bulk_alike(lambda run: update(wish, update_mask=mask))
        bulk_alike(lambda run: update({**wish, "note": None, "new_state": "success"}, update_mask=mask))

    @pytest.mark.parametrize(
        "entity", ["second", {"task_id": "second"}, {"task_id": "second", "map_index": -1}], ids=str
    )
    @pytest.mark.parametrize("run_state", ["running", "failed"])
    def test_task_instances_are_deleted_as_by_airflow(self, bulk_alike, entity, run_state):
        answer = bulk_alike(lambda run: delete(entity), state=run_state)
        assert len(answer.json()["delete"]["success"]) == 1

    def test_a_mapped_task_is_deleted_whole(self, bulk_alike):
        answer = bulk_alike(lambda run: delete("say"), in_order=True, dag_id="mapped", task_states=MAPPED)
        assert len(answer.json()["delete"]["success"]) == 4

    def test_one_instance_of_a_mapped_task_is_changed_and_another_deleted(self, bulk_alike):
        def body(run):
            changed = update({"task_id": "say", "map_index": 1, "new_state": "success", "note": "Bulk."})
            return {"actions": changed["actions"] + delete({"task_id": "say", "map_index": 3})["actions"]}

        answer = bulk_alike(body, dag_id="mapped", task_states=MAPPED).json()
        assert len(answer["update"]["success"]) == len(answer["delete"]["success"]) == 1

    def test_a_mapped_task_is_changed_whole(self, rest, v2, new_run):
        # Airflow sets all four and tells of a success and a conflict: of the second on it finds nothing to set.
        run = new_run("mapped", state="failed", task_states=MAPPED)
        answer = rest.patch(at(run), json=update({"task_id": "say", "new_state": "skipped"})).json()
        names = [f"mapped.{run.dag_run_id}.say[{index}]" for index in range(4)]
        assert answer["update"] == {"success": names, "errors": []}
        entries = v2.get(at(run, "say", "listMapped")).json()["task_instances"]
        assert [entry["state"] for entry in entries] == ["skipped"] * 4

    @pytest.mark.parametrize("make", [update, delete])
    @pytest.mark.parametrize("index", [None, 7])
    @pytest.mark.parametrize(
        "policy", [{}, {"action_on_non_existence": "fail"}, {"action_on_non_existence": "skip"}], ids=str
    )
    def test_missing_ones_stop_the_action_or_are_skipped(self, rest, v2, new_run, make, index, policy):
        results = []
        for client in (v2, rest):
            run = new_run(state="failed", task_states=STATES)
            missing = {"task_id": "second" if index else "none", "map_index": index}
            entities = [missing, {"task_id": "second", "map_index": -1, "note": "Bulk."}]
            answer = client.patch(at(run), json=make(*entities, **policy)).json()
            results.append(repr(statuses(answer)).replace(run.dag_run_id, "the run"))
        assert results[0] == results[1]
        assert ("404" in results[1]) == (policy.get("action_on_non_existence") != "skip")

    def test_several_actions_are_done_in_their_order_and_told_by_their_kind(self, bulk_alike):
        def body(run):
            first = update({"task_id": "second", "note": "One."})["actions"]
            second = update({"task_id": "second", "new_state": "success"})["actions"]
            third = update({"task_id": "none"})["actions"]
            made = [{"action": "create", "entities": [{"task_id": "x"}], "action_on_existence": "overwrite"}]
            return {"actions": first + made + second + third}

        answer = bulk_alike(body).json()
        assert len(answer["update"]["success"]) == 2
        assert [error["status_code"] for error in answer["update"]["errors"]] == [404]
        assert [error["status_code"] for error in answer["create"]["errors"]] == [405]
        assert answer["delete"] is None

    def test_what_was_deleted_cannot_be_changed(self, rest, new_run):
        # Airflow tells a success, and the task instance is gone all the same.
        run = new_run(task_states=STATES)
        actions = delete("second")["actions"] + update({"task_id": "second", "note": "x"})["actions"]
        answer = rest.patch(at(run), json={"actions": actions}).json()
        assert answer["delete"]["success"] == [f"manual.{run.dag_run_id}.second[-1]"]
        assert [error["status_code"] for error in answer["update"]["errors"]] == [404]

    def test_one_that_is_named_alone_and_with_its_task_is_deleted_once(self, rest, new_run):
        run = new_run(task_states=STATES)
        answer = rest.patch(at(run), json=delete("second", {"task_id": "second", "map_index": -1})).json()
        assert answer["delete"] == {"success": [f"manual.{run.dag_run_id}.second[-1]"], "errors": []}

    def test_a_conflict_does_not_stop_the_others(self, rest, v2, new_run):
        run = new_run(state="failed", task_states=STATES)
        entities = [{"task_id": name, "new_state": "success"} for name in ("first", "second", "alone")]
        answer = rest.patch(at(run), json=update(*entities)).json()["update"]
        assert [error["status_code"] for error in answer["errors"]] == [409]
        assert len(answer["success"]) == 2
        states = {e["task_id"]: e["state"] for e in v2.get(at(run)).json()["task_instances"]}
        assert (states["second"], states["alone"]) == ("success", "success")

    @pytest.mark.parametrize(
        "body",
        [
            {"actions": []},
            update(),
            delete(),
            delete("some task"),
            delete({"task_id": "a", "dag_id": "manual"}),
            delete({"task_id": "a", "dag_id": "manual", "dag_run_id": "none"}),
            update({"task_id": "a"}, {"task_id": "b", "dag_id": "~"}),
            update({"task_id": "a", "dag_id": "no_such_dag", "dag_run_id": "none"}),
            *(
                make({"dag_id": "manual", "dag_run_id": "none", "task_id": "first", **names})
                for make in (update, delete)
                for names in (
                    {"map_index": -100},
                    {"map_index": 2**31},
                    {"map_index": 2**62},
                    {"task_id": ""},
                    {"task_id": "x" * 300},
                    {"dag_run_id": "x" * 300},
                    {"dag_id": "x" * 300},
                )
            ),
            delete("x" * 300),
        ],
        ids=str,
    )
    def test_those_without_a_run_are_told_one_by_one(self, v2, rest, body):
        theirs, ours = (client.patch("/dags/~/dagRuns/~/taskInstances", json=body) for client in (v2, rest))
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
            update({}),
            update({"task_id": "a", "new_state": "running"}),
            update({"task_id": "a", "map_index": "x"}),
            update({"task_id": "a", "colour": "blue"}),
            update({"task_id": "a"}, action_on_non_existence="perhaps"),
        ],
        ids=str,
    )
    def test_what_means_nothing_is_refused(self, rest, v2, scenario, body):
        path = at(scenario.example)
        assert rest.patch(path, json=body).status_code == 400
        if body and body["actions"][0]["action"] != "unheard-of":
            # Airflow fails on a kind of action that it does not know (500).
            assert v2.patch(path, json=body).status_code == 422

    @pytest.mark.slow
    @pytest.mark.parametrize("make", [update, delete])
    @pytest.mark.parametrize("policy", ["skip", "fail"])
    @pytest.mark.parametrize(
        "wrong",
        [
            {"map_index": -100},
            {"map_index": -2},
            {"map_index": 2**31},
            {"task_id": "none"},
            {"task_id": "none", "map_index": None},
            {"task_id": ""},
            {"task_id": "x" * 300},
            {"dag_run_id": "x" * 300},
            {"dag_id": "x" * 300},
            {"dag_id": "~"},
        ],
        ids=lambda wrong: str(wrong)[:40],
    )
    def test_one_wrong_entity_is_an_error_of_its_own(self, bulk_alike, make, policy, wrong):
        def body(run):
            # Among whole tasks Airflow stops at the first missing one of a set, whose order varies.
            good = {"task_id": "first", "map_index": -1, "note": "Bulk."}
            return make({**good, **wrong}, good, action_on_non_existence=policy)

        assert bulk_alike(body).status_code == 200

    @pytest.mark.parametrize("action", ["create", "update", "delete"])
    @pytest.mark.parametrize(
        ("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 403), ("user", 200), ("admin", 200)]
    )
    @pytest.mark.parametrize("path", ["/dags/manual/dagRuns/none", "/dags/~/dagRuns/~"])
    def test_who_may_do_what(self, v2, rest, action, role, status, path):
        entity = {"task_id": "none", "dag_id": "manual", "dag_run_id": "none"}
        body = {"actions": [{"action": action, "entities": [entity]}]}
        theirs, ours = (client.patch(f"{path}/taskInstances", json=body, role=role) for client in (v2, rest))
        assert ours.status_code == theirs.status_code == status
        if status == 200:
            assert statuses(ours.json()) == statuses(theirs.json())


def _in_order(answer):
    content = answer.json()
    content["delete"]["success"].sort()
    answer._content = json.dumps(content).encode()
    return answer
