"""Killing runs and tasks: what becomes of the rows at once, and what is told of the processes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from sqlalchemy import select

from airflow_rest_api.services.database import write
from airflow_rest_api.services.kills import killing
from tests.support import task_process

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

IN_FLIGHT = {"first": "success", "second": "running", "third": None, "alone": "up_for_retry"}


def kill(rest, path, json=None, role="admin", **query):
    return rest.post(f"{path}/kill", json=json, params=query, role=role)


def began(answer):
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(rest, answer, wait=30):
    return rest.get(f"/operations/{began(answer)['operation_id']}", params={"wait": wait}).json()


def refused(answer, status, title=None):
    assert answer.status_code == status, answer.text
    assert title in (None, answer.json()["title"])
    return answer.json()


def states(rest, run):
    entries = rest.get(f"{run.path}/taskInstances").json()["task_instances"]
    return {
        entry["task_id"] if entry["map_index"] == -1 else f"{entry['task_id']}[{entry['map_index']}]": entry[
            "state"
        ]
        for entry in entries
    }


def state_of(rest, run):
    return rest.get(run.path).json()["state"]


def items(found):
    return {item["task_id"]: (item["former_state"], item["state"]) for item in found["items"]}


def changed(run, task_id, **values):
    """Set columns of a task instance; return its id."""
    from airflow.models.taskinstance import TaskInstance

    def work(session):
        instance = session.scalar(
            select(TaskInstance).where(TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == task_id)
        )
        for name, value in values.items():
            setattr(instance, name, value)
        session.flush()
        return str(instance.id)

    return write(work)


@pytest.fixture
def task_of(rest):
    """`task_of(run, task_id, code)`: a process on this host that is this task's."""
    opened = []

    def start(run, task_id, code=task_process.SLEEP):
        from airflow.utils.net import get_hostname

        instance_id = changed(run, task_id, hostname=get_hostname())
        manager = task_process.running(instance_id, code)
        opened.append(manager)
        started = manager.__enter__()
        changed(run, task_id, pid=started.pid, last_heartbeat_at=datetime.now(timezone.utc))
        return started

    yield start
    for manager in opened:
        manager.__exit__(None, None, None)


class TestKillDagRun:
    def test_everything_unfinished_fails_for_good_and_the_run_with_it(self, rest, new_run):
        run = new_run(state="running", task_states={**IN_FLIGHT, "second": "scheduled"})
        found = ended(rest, kill(rest, run.path))
        assert (found["state"], found["progress"]) == ("succeeded", {"done": 3, "total": 3})
        assert found["result"] == {
            "killed": 3,
            "gone": 3,
            "still_alive": 0,
            "unverifiable": 0,
            "teardowns_left": [],
        }
        assert items(found) == {
            "alone": ("up_for_retry", "gone"),
            "second": ("scheduled", "gone"),
            "third": ("none", "gone"),
        }
        assert state_of(rest, run) == "failed"
        assert states(rest, run) == {
            "first": "success",
            "second": "failed",
            "third": "failed",
            "alone": "failed",
        }

    def test_the_whole_item(self, rest, new_run):
        run = new_run(state="running", task_states={"alone": "queued", "first": "success"})
        (item,) = ended(rest, kill(rest, run.path, {"task_ids": ["alone"]}))["items"]
        assert item == {
            "dag_id": run.dag_id,
            "dag_run_id": run.dag_run_id,
            "task_id": "alone",
            "map_index": -1,
            "try_number": 0,
            "former_state": "queued",
            "state": "gone",
            "detail": "It had not been started, and Airflow refuses to start it now.",
            "pid": None,
            "hostname": None,
            "last_heartbeat_at": None,
            "deadline": None,
            "requested_at": item["requested_at"],
            "signalled_at": None,
            "ended_at": item["ended_at"],
        }
        assert item["requested_at"] <= item["ended_at"]

    @pytest.mark.parametrize("state", sorted(killing.UNFINISHED - {"running", "restarting", "none"}))
    def test_whatever_waits_is_gone_at_once(self, rest, new_run, state):
        run = new_run(state="running", task_states={"alone": state})
        found = ended(rest, kill(rest, run.path, states=state))
        assert items(found) == {"alone": (state, "gone")}
        assert states(rest, run)["alone"] == "failed"

    def test_with_some_tasks_the_run_goes_on_with_the_others(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "queued", "alone": "scheduled"})
        assert items(ended(rest, kill(rest, run.path, {"task_ids": ["alone"]}))) == {
            "alone": ("scheduled", "gone")
        }
        assert state_of(rest, run) == "running"
        assert states(rest, run)["first"] == "queued"

    def test_the_states_of_the_old_plugin_can_be_asked_for(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "scheduled", "alone": "up_for_retry"})
        found = ended(rest, kill(rest, run.path, states=["running", "none"]))
        assert items(found) == {"second": ("none", "gone"), "third": ("none", "gone")}
        assert state_of(rest, run) == "running"

    def test_when_no_task_is_left_the_run_is_ended_too(self, rest, new_run):
        run = new_run(state="queued")
        ended(rest, kill(rest, run.path, states=["none"]))
        assert state_of(rest, run) == "failed"

    def test_the_second_time_there_is_nothing_to_kill(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "success"})
        began(kill(rest, run.path))
        problem = refused(kill(rest, run.path), 409, "There is nothing to kill")
        assert problem["states"] == {"failed": 3, "success": 1}
        assert problem["detail"].endswith("is unfinished; there are: 3 × failed, 1 × success.")

    def test_in_other_states_there_is_nothing_to_kill(self, rest, new_run):
        run = new_run(state="running")
        problem = refused(kill(rest, run.path, {"task_ids": ["first"]}, states=["running", "queued"]), 409)
        assert "that you named is queued or running; there are: 1 × none." in problem["detail"]
        assert states(rest, run)["first"] is None

    def test_an_unfinished_run_without_unfinished_tasks_is_ended(self, rest, new_run):
        every = dict.fromkeys(("first", "second", "third", "alone"), "success")
        run = new_run(state="running", task_states=every)
        assert ended(rest, kill(rest, run.path))["result"]["killed"] == 0
        assert state_of(rest, run) == "failed"

    def test_and_left_to_the_scheduler_where_only_some_states_are_asked_for(self, rest, new_run):
        run = new_run(state="running", task_states=dict.fromkeys(IN_FLIGHT, "success"))
        refused(kill(rest, run.path, states=["running", "none"]), 409)
        assert state_of(rest, run) == "running"

    def test_what_is_not_there_is_not_found(self, rest, new_run):
        run = new_run(state="running")
        assert refused(kill(rest, f"{run.path}x"), 404)["type"].endswith("dag-run-not-found")
        problem = refused(kill(rest, run.path, {"task_ids": ["first", "nothing"]}), 404)
        assert problem["task_id"] == "nothing"
        assert states(rest, run)["first"] is None

    @pytest.mark.parametrize(
        ("json", "query"),
        [
            ({"task_ids": []}, {}),
            ({"task_ids": ["first", 1]}, {}),
            ({"task_ids": "first"}, {}),
            ({"tasks": ["first"]}, {}),
            (None, {"states": "success"}),
            (None, {"states": ""}),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_malformed(self, rest, new_run, json, query):
        run = new_run(state="running")
        refused(kill(rest, run.path, json, **query), 400)
        assert state_of(rest, run) == "running"

    def test_a_dry_run_tells_what_would_be_killed_and_kills_nothing(self, rest, new_run):
        run = new_run(state="running", task_states=IN_FLIGHT)
        before = states(rest, run)
        answer = kill(rest, run.path, dry_run=True)
        found = began(answer)
        assert (found["operation_id"], found["state"]) == (None, "succeeded")
        assert "Location" not in answer.headers
        assert items(found) == {
            "alone": ("up_for_retry", "gone"),
            "second": ("running", "requested"),
            "third": ("none", "gone"),
        }
        assert (states(rest, run), state_of(rest, run)) == (before, "running")
        assert rest.get("/operations").json()["total_entries"] == 0

    def test_a_key_kills_once(self, rest, new_run):
        run, headers = new_run(state="running"), {"Idempotency-Key": str(uuid4())}
        first, second = (rest.post(f"{run.path}/kill", headers=headers) for _ in range(2))
        assert began(first)["operation_id"] == began(second)["operation_id"]

    def test_two_at_once_kill_once(self, rest, new_run):
        run = new_run(state="running", task_states={"second": "queued"})
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: kill(rest, run.path).status_code, range(4)))
        assert sorted(answers) == [202, 409, 409, 409]

    def test_on_another_host_silence_makes_it_unverifiable(self, rest, new_run):
        run = new_run(state="running", task_states=IN_FLIGHT)
        heard = datetime.now(timezone.utc) - timedelta(seconds=3 * 300 - 3)
        changed(run, "second", last_heartbeat_at=heard)
        answer = kill(rest, run.path, {"task_ids": ["second"]})
        found = rest.get(f"/operations/{began(answer)['operation_id']}", params={"wait": 1}).json()
        assert (found["state"], items(found)) == ("running", {"second": ("running", "requested")})
        found = ended(rest, answer)
        (item,) = found["items"]
        assert (found["state"], item["state"], item["pid"]) == ("succeeded", "unverifiable", 4711)
        told = heard.isoformat()
        assert item["detail"] == (
            f"The processes of the host 'worker-1' cannot be seen from here; nothing was heard of it since {told}."
        )
        assert found["result"]["unverifiable"] == 1

    def test_the_following_can_be_cancelled_and_the_kill_stays(self, rest, new_run):
        run = new_run(state="running", task_states=IN_FLIGHT)
        answer = kill(rest, run.path)
        rest.post(f"/operations/{began(answer)['operation_id']}/cancel")
        assert ended(rest, answer)["state"] == "cancelled"
        assert state_of(rest, run) == "failed"

    def test_a_process_here_that_goes_is_gone(self, rest, new_run, task_of):
        run = new_run(state="running", task_states=IN_FLIGHT)
        task = task_of(run, "second", task_process.WITH_CHILD)
        child = self._child(task)
        answer = kill(rest, run.path, {"task_ids": ["second"]})
        task.end()
        found = rest.get(f"/operations/{began(answer)['operation_id']}", params={"wait": 1}).json()
        (item,) = found["items"]
        assert (found["state"], item["state"], item["pid"]) == ("running", "signalled", task.pid)
        child.kill()
        found = ended(rest, answer)
        assert (found["state"], items(found)) == ("succeeded", {"second": ("running", "gone")})

    @pytest.mark.parametrize("state", ["deferred", "up_for_reschedule"])
    def test_a_process_that_is_still_ending_is_followed_too(self, rest, new_run, task_of, state):
        run = new_run(state="running", task_states={"alone": state})
        task = task_of(run, "alone")
        answer = kill(rest, run.path, {"task_ids": ["alone"]})
        found = rest.get(f"/operations/{began(answer)['operation_id']}", params={"wait": 1}).json()
        assert (found["state"], found["items"][0]["pid"]) == ("running", task.pid)
        task.end()
        assert items(ended(rest, answer)) == {"alone": (state, "gone")}

    def test_another_process_goes_on_where_one_has_died(self, rest, new_run, task_of, carried_on):
        run = new_run(state="running", task_states=IN_FLIGHT)
        task = task_of(run, "second", task_process.WITH_CHILD)
        child = self._child(task)
        answer = kill(rest, run.path, {"task_ids": ["second"]})
        task.end()
        carried_on(began(answer)["operation_id"])
        found = rest.get(f"/operations/{answer.json()['operation_id']}", params={"wait": 2}).json()
        assert found["state"] == "running"
        child.kill()
        assert items(ended(rest, answer)) == {"second": ("running", "gone")}

    def test_one_that_sees_other_processes_does_not_say_gone(self, rest, new_run, task_of, carried_on):
        run = new_run(state="running", task_states=IN_FLIGHT)
        task = task_of(run, "second")
        answer = kill(rest, run.path, {"task_ids": ["second"]})
        carried_on(began(answer)["operation_id"], place="elsewhere")
        task.end()
        found = ended(rest, answer)
        assert (found["state"], items(found)) == ("succeeded", {"second": ("running", "unverifiable")})

    @staticmethod
    def _child(task):
        deadline = time.monotonic() + 20
        while not (children := task_process.psutil.Process(task.pid).children()):
            assert time.monotonic() < deadline
        return children[0]


@pytest.fixture
def carried_on(rest):
    """`carried_on(operation_id)`: let another process have the operation, with the `place` in which it was begun."""
    from sqlalchemy import update

    from airflow_rest_api.services.background import Background
    from airflow_rest_api.services.kinds import KINDS
    from airflow_rest_api.storage.tables import operation as table

    made = []

    def carry_on(operation_id, **request):
        carrier = Background(KINDS)
        made.append(carrier)

        def work(session):
            kept = session.scalar(select(table.c.request).where(table.c.id == operation_id))
            values = {"worker": carrier.worker, "state": "queued", "request": {**kept, **request}}
            session.execute(update(table).where(table.c.id == operation_id).values(values))

        write(work)
        carrier.run(operation_id)

    yield carry_on
    for carrier in made:
        carrier.stop()


class TestKillTaskInstance:
    def test_all_instances_of_a_mapped_task_are_killed_or_the_one_that_is_named(self, rest, new_run):
        run = new_run("mapped", state="running", task_states={"numbers": "success", "say": "queued"})
        path = f"{run.path}/taskInstances/say"
        found = ended(rest, kill(rest, path, map_index=2))
        assert [item["map_index"] for item in found["items"]] == [2]
        assert [states(rest, run)[f"say[{index}]"] for index in range(4)] == [
            "queued",
            "queued",
            "failed",
            "queued",
        ]
        found = ended(rest, kill(rest, path))
        assert [item["map_index"] for item in found["items"]] == [0, 1, 3]
        assert state_of(rest, run) == "running"

    def test_what_is_not_there_is_not_found(self, rest, new_run):
        run = new_run("mapped", state="running")
        refused(kill(rest, f"{run.path}/taskInstances/nothing"), 404)
        assert refused(kill(rest, f"{run.path}/taskInstances/say", map_index=9), 404)["map_index"] == 9
        refused(kill(rest, f"{run.path}x/taskInstances/say"), 404)

    def test_a_finished_one_is_left_alone(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "success"})
        problem = refused(kill(rest, f"{run.path}/taskInstances/first"), 409)
        assert problem["states"] == {"success": 1}

    def test_a_dry_run_kills_nothing(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "queued"})
        found = began(kill(rest, f"{run.path}/taskInstances/first", dry_run=True))
        assert items(found) == {"first": ("queued", "requested")}
        assert states(rest, run)["first"] == "queued"

    @pytest.mark.parametrize("query", [{"map_index": -2}, {"map_index": "x"}, {"map_index": 2**31}], ids=str)
    def test_an_index_is_an_index(self, rest, new_run, query):
        refused(kill(rest, f"{new_run(state='running').path}/taskInstances/first", **query), 400)


class TestKillDagRuns:
    def test_the_selected_runs_are_killed_each_an_item(self, rest, new_run):
        runs = [new_run(state="running", task_states={"first": "success"}) for _ in range(3)]
        other = new_run("mapped", state="running")
        found = ended(rest, kill(rest, "/dagRuns", {"selector": {"dag_id_pattern": "manual"}}))
        mine = {run.dag_run_id for run in runs}
        assert (found["state"], found["result"]["left_out"]) == ("succeeded", 0)
        assert found["progress"]["done"] == found["progress"]["total"] == found["result"]["runs"]
        told = [item for item in found["items"] if item["dag_run_id"] in mine]
        assert sorted(told, key=str) == sorted(
            (
                {
                    "dag_id": "manual",
                    "dag_run_id": run.dag_run_id,
                    "former_state": "running",
                    "killed": 3,
                    "teardowns_left": [],
                    "state": "gone",
                    "task_instances": [],
                }
                for run in runs
            ),
            key=str,
        )
        assert {state_of(rest, run) for run in runs} == {"failed"}
        assert state_of(rest, other) == "running"

    def test_those_that_had_a_process_are_listed(self, rest, new_run):
        run = new_run(state="running", task_states={"first": "queued", "alone": "up_for_retry"})
        found = ended(rest, kill(rest, "/dagRuns", {"selector": {"dag_id_pattern": "manual"}}))
        (item,) = (item for item in found["items"] if item["dag_run_id"] == run.dag_run_id)
        assert [task["task_id"] for task in item["task_instances"]] == ["first"]

    def test_no_run_is_no_fault(self, rest):
        found = ended(rest, kill(rest, "/dagRuns", {"selector": {"dag_id_pattern": "no such DAG"}}))
        assert (found["state"], found["items"], found["result"]["runs"]) == ("succeeded", [], 0)

    def test_runs_without_anything_in_the_states_are_passed_over(self, rest, new_run):
        run = new_run(state="running")
        selector = {"dag_id_pattern": "manual"}
        found = ended(rest, kill(rest, "/dagRuns", {"selector": selector}, states="deferred"))
        assert run.dag_run_id not in {item["dag_run_id"] for item in found["items"]}
        assert state_of(rest, run) == "running"

    def test_a_dry_run_kills_nothing(self, rest, new_run):
        run = new_run(state="running")
        found = began(kill(rest, "/dagRuns", {"selector": {"dag_id_pattern": "manual"}}, dry_run=True))
        assert run.dag_run_id in {item["dag_run_id"] for item in found["items"]}
        assert state_of(rest, run) == "running"

    @pytest.mark.parametrize(
        "json", [None, {}, {"selector": {}}, {"selector": {"dag_ids": ["etl"]}}], ids=str
    )
    def test_something_has_to_be_selected(self, rest, json):
        refused(kill(rest, "/dagRuns", json), 400)

    def test_what_ended_in_between_is_passed_over(self, rest, new_run):
        selector = {"selector": {"dag_id_pattern": "manual"}}
        ended(rest, kill(rest, "/dagRuns", selector))
        new_run(state="running")
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: ended(rest, kill(rest, "/dagRuns", selector)), range(3)))
        assert {found["state"] for found in answers} == {"succeeded"}
        assert sum(bool(found["items"]) for found in answers) == 1
