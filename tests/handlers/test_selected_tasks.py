"""Runs of some tasks: `task_ids` and `exclude_task_ids` of `trigger_dag_run`, and what becomes of these."""

from __future__ import annotations

from itertools import combinations, product
from uuid import uuid4

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.task.trigger_rule import TriggerRule
from airflow.utils.session import create_session
from sqlalchemy import func, select, update

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.runs import selection, selection_warnings
from airflow_rest_api.storage import tables
from tests.support.dag_runs import of_type
from tests.support.scheduling import decided

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("selection_dags")]


@pytest.fixture
def triggered(rest):
    """Trigger a run of some tasks, and return the answer."""

    def trigger(dag_id, *task_ids, **body):
        named = {"task_ids": list(task_ids)} if task_ids else {}
        return rest.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, **named, **body})

    return trigger


def set_state(dag_id, run_id, task_id, state, tries=1):
    with create_session(scoped=False) as session:
        mine = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
        session.execute(update(TaskInstance).filter_by(**mine).values(state=state, try_number=tries))


def states(rest, dag_id, run_id):
    found = rest.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances").json()["task_instances"]
    return {f"{entry['task_id']}[{entry['map_index']}]": entry["state"] for entry in found}


class TestSelection:
    @pytest.mark.parametrize(
        ("body", "runs"),
        [
            ({"task_ids": ["d"]}, "d"),
            ({"task_ids": ["b", "d", "b"]}, "bd"),
            ({"task_ids": ["d"], "include_upstream": True}, "abcd"),
            ({"task_ids": ["b"], "include_downstream": True}, "bde"),
            ({"task_ids": ["b"], "include_downstream": True, "include_upstream": True}, "abde"),
            ({"task_ids": ["d"], "include_upstream": True, "exclude_task_ids": ["a"]}, "bcd"),
            ({"exclude_task_ids": ["a", "f"]}, "bcde"),
            ({"task_ids": None, "exclude_task_ids": ["e"]}, "abcdf"),
            ({"task_ids": list("abcdef")}, "abcdef"),
        ],
        ids=str,
    )
    def test_these_tasks_run_in_their_order_and_no_other(self, triggered, body, runs):
        answer = triggered("chain", **body)
        assert answer.status_code == 200, answer.text
        run = answer.json()
        assert run["selection"]["task_ids"] == sorted(runs)
        started, state, _ = decided("chain", run["dag_run_id"])
        assert (sorted(started), state) == (sorted(runs), "success")
        places = {task_id: place for place, task_id in enumerate(started)}
        for earlier, later in ("ab", "ac", "bd", "cd", "de", "fe"):
            if earlier in places and later in places:
                assert places[earlier] < places[later]

    def test_the_others_are_ended_from_the_beginning(self, rest, triggered):
        run_id = triggered("chain", "c", "d").json()["dag_run_id"]
        assert states(rest, "chain", run_id) == {
            "a[-1]": "success",
            "b[-1]": "success",
            "c[-1]": None,
            "d[-1]": None,
            "e[-1]": "skipped",
            "f[-1]": "skipped",
        }

    def test_they_have_no_try_and_are_over_at_once(self, rest, triggered):
        run_id = triggered("chain", "d").json()["dag_run_id"]
        marked = rest.get(f"/dags/chain/dagRuns/{run_id}/taskInstances/a").json()
        assert (marked["try_number"], marked["duration"]) == (0, 0)
        assert marked["start_date"] == marked["end_date"] is not None

    def test_without_a_selection_nothing_is_ended_or_told(self, rest, triggered):
        run = triggered("chain", exclude_task_ids=[], include_upstream=True).json()
        assert "selection" not in run
        assert set(states(rest, "chain", run["dag_run_id"]).values()) == {None}

    @pytest.mark.parametrize(
        "body", [{"task_ids": ["nope", "a", "neither"]}, {"exclude_task_ids": ["nope", "neither"]}], ids=str
    )
    def test_unknown_tasks_are_named(self, triggered, body):
        answer = triggered("chain", **body)
        assert answer.status_code == 404
        of_type(answer, "task-not-found")
        assert answer.json()["task_ids"] == ["nope", "neither"]

    @pytest.mark.parametrize(
        "body", [{"task_ids": []}, {"task_ids": ["a"], "exclude_task_ids": ["a"]}], ids=str
    )
    def test_nothing_left_is_refused(self, rest, triggered, body):
        before = rest.get("/dags/chain/dagRuns").json()["total_entries"]
        answer = triggered("chain", **body)
        assert answer.status_code == 422
        of_type(answer, "selection-empty")
        assert rest.get("/dags/chain/dagRuns").json()["total_entries"] == before

    def test_who_may_not_change_task_instances_may_not_select(self, triggered, rest, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions
        from airflow_rest_api.services import errors

        def deny(self, dag_id, method, access_entity=None):
            if (method, access_entity) == ("PUT", "TASK_INSTANCE"):
                raise errors.Denied("Not this one.")

        monkeypatch.setattr(AirflowPermissions, "require_dag", deny)
        assert triggered("chain", "a").status_code == 403
        assert triggered("chain", exclude_task_ids=["a"]).status_code == 403
        assert triggered("chain").status_code == 200

    def test_a_key_repeats_the_answer_and_makes_one_run(self, rest):
        key = {"Idempotency-Key": str(uuid4())}
        body = {"logical_date": None, "task_ids": ["b"]}
        first, second = (rest.post("/dags/chain/dagRuns", json=body, headers=key) for _ in range(2))
        assert first.status_code == 200
        assert first.content == second.content

    def test_the_run_that_is_there_is_answered_with_its_own_selection(self, triggered):
        run_id = f"chosen-{uuid4().hex}"
        triggered("chain", "b", dag_run_id=run_id)
        answer = triggered("chain", "c", dag_run_id=run_id, on_conflict="return_existing")
        assert answer.json()["selection"]["task_ids"] == ["b"]
        assert triggered("chain", "c", dag_run_id=run_id).status_code == 409


RULES = [rule.value for rule in TriggerRule]
UPSTREAM = [frozenset(chosen) for size in range(3) for chosen in combinations("ab", size)]
ENDS = ("success", "failed", "skipped")


class TestTriggerRules:
    @pytest.mark.parametrize("rule", RULES)
    def test_what_can_never_fire_is_refused_and_nothing_else(self, triggered, rule, monkeypatch):
        """Airflow's own scheduling decides what can: with every way in which the selected tasks before can end."""
        dag_id = f"rule_{rule}"
        refused, unable = set(), set()
        for upstream in UPSTREAM:
            answer = triggered(dag_id, "t", *upstream)
            if answer.status_code == 422:
                of_type(answer, "trigger-rule-cannot-fire")
                refused.add(upstream)
            with monkeypatch.context() as patch:
                patch.setattr(selection, "_require_rules", lambda *_: None)
                run_id = triggered(dag_id, "t", *upstream).json()["dag_run_id"]
            ways = [dict(zip(upstream, ends, strict=True)) for ends in product(ENDS, repeat=len(upstream))]
            if not any("t" in decided(dag_id, run_id, way)[0] for way in ways):
                unable.add(upstream)
        assert refused == unable

    def test_the_refusal_names_tasks_rules_and_what_to_select(self, triggered):
        answer = triggered("rule_all_failed", "t", "b")
        assert answer.json()["tasks"] == [{"task_id": "t", "trigger_rule": "all_failed", "needs": ["a"]}]

    def test_a_rule_that_one_success_meets_does_not_wait(self, triggered):
        run = triggered("rule_one_success", "t", "b").json()
        assert [warning["code"] for warning in run["selection"]["warnings"]] == ["order_is_lost"]
        assert triggered("rule_all_success", "t", "b").json()["selection"]["warnings"] == []


class TestMappedTasks:
    @pytest.mark.parametrize(
        ("task_ids", "needed"),
        [
            (["double"], {"double": ["numbers"]}),
            (["double", "told"], {"double": ["numbers"]}),
            (["each.inside"], {"each.inside": ["double"]}),
            (["each.after", "numbers"], {"each.after": ["double"]}),
            (
                ["double", "each.after", "each.inside"],
                {"double": ["numbers"]},
            ),
        ],
        ids=str,
    )
    def test_one_without_its_feeder_is_refused(self, triggered, task_ids, needed):
        answer = triggered("feeding", *task_ids)
        assert answer.status_code == 422
        of_type(answer, "mapped-task-needs-feeder")
        assert {task["task_id"]: task["needs"] for task in answer.json()["tasks"]} == needed

    def test_one_whose_length_the_file_tells_needs_none(self, rest, triggered):
        run = triggered("feeding", "tell").json()
        assert run["selection"]["states"] == {"none": 2}
        found = states(rest, "feeding", run["dag_run_id"])
        assert {name: found[name] for name in ("tell[0]", "tell[1]", "numbers[-1]")} == {
            "tell[0]": None,
            "tell[1]": None,
            "numbers[-1]": "skipped",
        }

    def test_one_in_a_mapped_group_needs_what_lies_between_its_feeder_and_itself(
        self, triggered, monkeypatch
    ):
        answer = triggered("grouped", "every.late", "source")
        of_type(answer, "mapped-task-needs-feeder")
        assert answer.json()["tasks"] == [{"task_id": "every.late", "needs": ["every.early"]}]
        run = triggered("grouped", "every.late", "every.early", "source").json()
        started, state, _ = decided("grouped", run["dag_run_id"], lengths={"source": 2})
        assert (started, state) == (["source", *["every.early"] * 2, *["every.late"] * 2], "success")
        # This is why: it would be expanded before the other has told how far.
        with monkeypatch.context() as patch:
            patch.setattr(selection, "_require_feeders", lambda *_: None)
            run = triggered("grouped", "every.late", "source").json()
        assert decided("grouped", run["dag_run_id"], lengths={"source": 2})[0] == ["source"]

    def test_one_with_its_feeder_that_one_success_starts_is_refused_beside_a_gap(self, triggered):
        answer = triggered("early", "source", "fed")
        assert answer.json()["tasks"] == [{"task_id": "fed", "needs": ["beside"]}]
        run = triggered("early", "source", "fed", "beside").json()
        assert run["selection"]["warnings"] == []

    def test_one_that_is_fed_expands_when_its_feeder_is_done(self, triggered):
        run = triggered("feeding", "numbers", "double", "told").json()
        started, state, _ = decided("feeding", run["dag_run_id"], lengths={"numbers": 2})
        assert (sorted(started), state) == (["double", "double", "numbers", "told"], "success")

    def test_all_instances_of_one_that_does_not_run_are_ended(self, rest, triggered):
        run = triggered("feeding", "numbers").json()
        found = states(rest, "feeding", run["dag_run_id"])
        assert {found["tell[0]"], found["tell[1]"], found["double[-1]"]} == {"skipped"}


class TestSurroundings:
    @pytest.mark.parametrize(
        ("body", "runs"),
        [
            ({"task_ids": ["work"]}, ["down", "up", "work"]),
            ({"task_ids": ["up"]}, ["down", "up"]),
            ({"task_ids": ["down"]}, ["down"]),
            ({"task_ids": ["other"]}, ["other"]),
            ({"task_ids": ["work"], "exclude_task_ids": ["up"]}, ["down", "work"]),
        ],
        ids=str,
    )
    def test_setups_and_teardowns_come_along_as_when_airflow_clears(self, triggered, body, runs):
        run = triggered("surrounded", **body).json()
        assert run["selection"]["task_ids"] == runs
        started, _, _ = decided("surrounded", run["dag_run_id"])
        assert sorted(started) == runs
        if "exclude_task_ids" not in body:
            dag = latest("surrounded")
            theirs = dag.partial_subset(body["task_ids"], include_upstream=False).task_dict
            assert sorted(theirs) == runs

    def test_a_setup_that_was_excluded_is_warned_of(self, triggered):
        (warning,) = triggered("surrounded", "work", exclude_task_ids=["up"]).json()["selection"]["warnings"]
        assert (warning["code"], warning["other_task_ids"]) == ("setup_or_teardown_is_absent", ["up"])


class TestWarnings:
    def test_an_order_that_is_lost_is_told_once(self, triggered):
        (warning,) = triggered("chain", "a", "d", "e").json()["selection"]["warnings"]
        assert warning == {
            "code": "order_is_lost",
            "task_id": "d",
            "other_task_ids": ["a"],
            "detail": "'d' does not wait for 'a': of what lies between them, not all runs.",
        }

    def test_only_the_last_tasks_before_a_gap_are_named(self, triggered):
        (warning,) = triggered("chain", "a", "b", "c", "e").json()["selection"]["warnings"]
        assert (warning["task_id"], warning["other_task_ids"]) == ("e", ["b", "c"])

    def test_many_are_not_all_named(self):
        loss = selection_warnings._warning(
            "order_is_lost", "z", {f"t{n:03}" for n in range(150)}, "{others}."
        )
        assert len(loss.other_task_ids) == selection_warnings.MOST_NAMED
        assert loss.detail == "'t000', 't001', 't002', 't003', 't004' and 145 more."

    def test_an_order_that_another_way_keeps_is_not_lost(self, triggered):
        assert triggered("chain", "a", "c", "d").json()["selection"]["warnings"] == []

    def test_results_that_will_not_be_there_are_told(self, triggered):
        (warning,) = triggered("reading", "reader").json()["selection"]["warnings"]
        assert (warning["code"], warning["other_task_ids"]) == ("xcom_is_absent", ["one", "two"])
        assert triggered("reading", "reader", "one", "two").json()["selection"]["warnings"] == []

    def test_arguments_of_mapped_tasks_are_read_too(self, triggered):
        (warning,) = triggered("feeding", "numbers", "double").json()["selection"]["warnings"]
        assert (warning["code"], warning["other_task_ids"]) == ("xcom_is_absent", ["told"])


class TestOutcome:
    def outcome(self, rest, run_id, run_state, dag_id="chain", **task_states):
        from airflow.models.dagrun import DagRun

        for task_id, state in task_states.items():
            set_state(dag_id, run_id, task_id, *(state if isinstance(state, tuple) else (state,)))
        with create_session(scoped=False) as session:
            session.execute(update(DagRun).filter_by(run_id=run_id).values(_state=run_state))
        return rest.get(f"/dags/{dag_id}/dagRuns/{run_id}").json()["selection"]

    @pytest.fixture
    def run_id(self, triggered):
        return triggered("chain", "b", "d").json()["dag_run_id"]

    @pytest.mark.parametrize(
        ("run_state", "tasks", "outcome"),
        [
            ("queued", {}, "queued"),
            ("running", {"b": "success"}, "running"),
            ("success", {"b": "success", "d": "success"}, "success"),
            ("success", {"b": "success", "d": "failed"}, "failed"),
            ("success", {"b": "failed", "d": "upstream_failed"}, "failed"),
            ("failed", {"b": "success", "d": "success"}, "success"),
            ("failed", {}, "failed"),
            # One that skips itself has had a try; one behind it may be skipped with it.
            ("success", {"b": "skipped", "d": ("skipped", 0)}, "success"),
            # What nobody selected decided about was kept from running.
            ("success", {"b": ("skipped", 0), "d": ("skipped", 0)}, "failed"),
            ("failed", {"b": "success", "d": ("skipped", 0)}, "failed"),
            ("success", {"b": "success", "d": "removed"}, "failed"),
        ],
        ids=str,
    )
    def test_it_is_that_of_the_selected_tasks(self, rest, run_id, run_state, tasks, outcome):
        assert self.outcome(rest, run_id, run_state, **tasks)["outcome"] == outcome

    def test_states_are_counted(self, rest, run_id):
        assert self.outcome(rest, run_id, "running", b="running")["states"] == {"running": 1, "none": 1}

    def test_one_whose_instance_is_gone_did_not_run(self, rest, run_id):
        with create_session(scoped=False) as session:
            session.query(TaskInstance).filter_by(run_id=run_id, task_id="d").delete()
        assert self.outcome(rest, run_id, "success", b="success")["outcome"] == "failed"

    def test_airflow_calls_it_a_success_and_we_do_not(self, rest, run_id):
        _, state, tasks = decided("chain", run_id, {"d": "failed"})
        assert state == "success"
        assert self.outcome(rest, run_id, state, b=tasks["b"], d=tasks["d"])["outcome"] == "failed"

    def test_waiting_answers_it_as_well(self, rest, run_id):
        self.outcome(rest, run_id, "success", b="success", d="failed")
        answer = rest.get(f"/dags/chain/dagRuns/{run_id}", params={"wait": 5})
        assert answer.json()["selection"]["outcome"] == "failed"

    def test_a_later_run_of_the_same_id_has_none_of_it(self, rest, triggered):
        run_id = f"again-{uuid4().hex}"
        after = "2027-01-01T00:00:00Z"
        assert "selection" in triggered("chain", "b", dag_run_id=run_id, run_after=after).json()
        assert rest.delete(f"/dags/chain/dagRuns/{run_id}").status_code == 204
        assert "selection" not in triggered("chain", dag_run_id=run_id, run_after=after).json()
        assert "selection" not in rest.get(f"/dags/chain/dagRuns/{run_id}").json()

    def test_selections_of_runs_that_are_gone_are_forgotten(self, rest, triggered, run_id):
        rest.delete(f"/dags/chain/dagRuns/{run_id}")
        triggered("chain", "b")
        with create_session(scoped=False) as session:
            kept = session.scalar(select(func.count()).select_from(tables.selection))
            from airflow.models.dagrun import DagRun

            runs = session.scalar(
                select(func.count()).where(DagRun.id.in_(select(tables.selection.c.dag_run)))
            )
        assert kept == runs > 0


class TestPreview:
    def previewed(self, rest, dag_id, **body):
        answer = rest.post(
            f"/dags/{dag_id}/dagRuns", params={"dry_run": True}, json={"logical_date": None, **body}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def test_it_tells_what_would_run_and_what_is_marked(self, rest):
        before = rest.get("/dags/chain/dagRuns").json()["total_entries"]
        run = self.previewed(rest, "chain", task_ids=["d"], run_after="2040-01-01T00:00:00Z")
        assert run["preview"] == {
            "task_instances": 6,
            "held_back_by": ["no_scheduler_alive", "run_after_lies_ahead", "no_dag_processor_alive"],
            "starts_after": "2040-01-01T00:00:00Z",
            "waits_for_previous_run": [],
            "task_ids": ["d"],
            "marked_success": ["a", "b", "c"],
            "marked_skipped": ["e", "f"],
        }
        assert (run["selection"]["outcome"], run["selection"]["states"]) == ("queued", {"none": 1})
        assert rest.get("/dags/chain/dagRuns").json()["total_entries"] == before

    def test_it_refuses_what_the_call_refuses(self, rest):
        body = {"logical_date": None, "task_ids": ["double"]}
        answer = rest.post("/dags/feeding/dagRuns", params={"dry_run": True}, json=body)
        of_type(answer, "mapped-task-needs-feeder")

    def test_it_tells_which_tasks_the_past_holds_back(self, rest, triggered):
        triggered("past", logical_date="2026-01-01T00:00:00Z")
        later = {"logical_date": "2026-01-02T00:00:00Z"}
        held = [
            self.previewed(rest, "past", **body)["preview"]["waits_for_previous_run"]
            for body in ({**later}, {**later, "task_ids": ["careful"]}, {**later, "task_ids": ["plain"]})
        ]
        assert held == [["careful"], ["careful"], []]
        # A run about no time has none before it.
        assert self.previewed(rest, "past")["preview"]["waits_for_previous_run"] == []


def latest(dag_id):
    with create_session(scoped=False) as session:
        return structure.latest(dag_id, session)
