"""Killed tasks are gone when the service says so, and it never says so of one that lives on."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest
from benchmark import processes

from tests.support import clients, task_process

pytestmark = pytest.mark.timeout(300)

MOST_SECONDS = 15


def living(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(pid):
    """The process and what it has started, as the process table has it now."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def of_run(run_id):
    """Every living process that was started with the variables of a task of this run."""
    return [one for one in task_process.marked({"AIRFLOW_CTX_DAG_RUN_ID": run_id}) if living(one)]


def until(look, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def kill(live, path, client=None, json=None, **query):
    answer = (client or live.rest).post(f"{path}/kill", json=json, params=query)
    assert answer.status_code == 202, answer.text
    return answer.json()["operation_id"]


def running(live, dag_id, run_id, task_id, map_index=-1):
    """The process of a task that runs; it is at the work of its author."""
    return live.until_task(dag_id, run_id, task_id, "running", map_index)["pid"]


@pytest.fixture
def cleared(live):
    """Runs of which nothing may be left after the test: `cleared(dag_id)` triggers one."""
    made = []

    def trigger(dag_id):
        made.append((dag_id, live.trigger(dag_id)))
        return made[-1][1]

    yield trigger
    for dag_id, run_id in made:
        live.rest.patch(f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
        for process in of_run(run_id):
            process.kill()


def test_all_processes_of_a_killed_run_are_gone_and_none_is_tried_again(live, cleared):
    run_id = cleared("killing")
    pids = {task: running(live, "killing", run_id, task) for task in ("with_child", "python", "stubborn")}
    until(lambda: len(family(pids["with_child"])) >= 4)  # the task, bash and its two children
    time.sleep(1)  # the stubborn one has to have said that it is
    processes = [one for pid in pids.values() for one in family(pid)]

    begin = time.monotonic()
    operation_id = kill(live, f"/dags/killing/dagRuns/{run_id}")
    first = live.rest.get(f"/operations/{operation_id}").json()
    seen = [(first, None)]
    while seen[-1][0]["state"] in ("queued", "running"):
        alive = {one.pid for one in processes if living(one)}
        seen.append((live.rest.get(f"/operations/{operation_id}").json(), alive))
        time.sleep(0.1)
    seconds = time.monotonic() - begin

    found = seen[-1][0]
    assert (found["state"], found["error"]) == ("succeeded", None), found
    assert found["result"]["killed"] == found["result"]["gone"] == 4
    assert [one for one in processes if living(one)] == []
    assert seconds <= MOST_SECONDS
    # Nothing was called gone while anything of it was there, in any of the answers.
    for answer, _ in seen:
        for item in answer["items"]:
            if item["state"] == "gone" and item["pid"]:
                assert not any(living(one) for one in processes if one.pid == item["pid"])
    states = {item["task_id"]: {item["state"]} for item in found["items"]}
    for answer, _ in seen:
        for item in answer["items"]:
            states[item["task_id"]].add(item["state"])
    assert states["stubborn"] == {"requested", "signalled", "gone"}
    assert states["never"] == {"gone"}
    run = live.run("killing", run_id)
    assert run["state"] == "failed"
    assert set(live.states("killing", run_id).values()) == {"failed"}
    time.sleep(3)  # the scheduler looks at its runs several times
    assert live.tries("killing", run_id) == {"with_child": 1, "python": 1, "stubborn": 1, "never": 0}
    assert set(live.states("killing", run_id).values()) == {"failed"}
    assert of_run(run_id) == []


def test_what_lives_on_is_never_called_gone(live, cleared):
    run_id, stopped_id = cleared("surviving"), cleared("killing")
    pids = [running(live, "surviving", run_id, task) for task in ("detached", "forked")]
    # The seeded fault: a supervisor that hears nothing.
    stopped = psutil.Process(running(live, "killing", stopped_id, "python"))
    supervisor = stopped.parent()
    until(lambda: set(of_run(run_id)) - set(family(pids[0])))
    time.sleep(1)
    supervisor.suspend()
    try:
        ids = [kill(live, f"/dags/{dag_id}/dagRuns/{one}") for dag_id, one in (("surviving", run_id),)]
        ids.append(kill(live, f"/dags/killing/dagRuns/{stopped_id}/taskInstances/python"))
        survived, still = (live.ended(operation_id) for operation_id in ids)
        assert living(stopped)
    finally:
        supervisor.resume()

    assert (survived["state"], still["state"]) == ("failed", "failed")
    assert {item["task_id"]: item["state"] for item in survived["items"]} == {
        "detached": "still_alive",
        "forked": "still_alive",
    }
    assert survived["result"]["still_alive"] == 2
    assert "lives on, and 1 more: The process" in survived["error"]
    (item,) = still["items"]
    assert (item["state"], item["signalled_at"]) == ("still_alive", None)
    assert "is stopped, so nobody ends them." in item["detail"]


def test_one_of_a_mapped_task_is_killed_and_the_other_goes_on(live, cleared):
    run_id = cleared("mapped_killing")
    first, second = (running(live, "mapped_killing", run_id, "wait", index) for index in (0, 1))
    until(lambda: len(family(first)) == len(family(second)) == 2)
    processes = family(first)

    path = f"/dags/mapped_killing/dagRuns/{run_id}/taskInstances/wait"
    found = live.ended(kill(live, path, map_index=0))
    assert (found["state"], found["result"]["gone"], len(found["items"])) == ("succeeded", 1, 1)
    assert [one for one in processes if living(one)] == []
    assert len(family(second)) == 2
    assert live.states("mapped_killing", run_id) == {"wait[0]": "failed", "wait[1]": "running"}

    found = live.ended(kill(live, path))
    assert [item["map_index"] for item in found["items"]] == [1]
    assert live.until("mapped_killing", run_id)["state"] == "failed"
    assert of_run(run_id) == []


def test_teardowns_of_a_killed_run_do_their_work_and_it_ends_failed(live, cleared):
    run_id = cleared("torn_down")
    running(live, "torn_down", run_id, "use")
    found = live.ended(kill(live, "/dagRuns", json={"selector": {"dag_id_pattern": "torn_down"}}))
    assert found["state"] == "succeeded", found
    (item,) = found["items"]
    assert (item["dag_run_id"], item["state"], item["killed"]) == (run_id, "gone", 1)
    assert item["teardowns_left"] == ["remove"]
    assert live.until("torn_down", run_id)["state"] == "failed"
    assert live.states("torn_down", run_id) == {"build": "success", "use": "failed", "remove": "success"}


@contextmanager
def standalone(live, folder):
    """A second service on the same database and host, whose leases end soon: its process, and a client."""
    port = processes.free_port()
    program = (
        "from datetime import timedelta; from airflow_rest_api.services import background;"
        "background.LEASE = timedelta(seconds=3); background.RENEW_SECONDS = 1.0;"
        f"from airflow_rest_api import cli; cli.main(['serve', '--port', '{port}'])"
    )
    variables = live.environment
    with (folder / "standalone.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", program], env=variables, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            client = clients.Client(http, clients.REST, clients.Tokens())
            until(lambda: answers(client), 60)
            yield process, client
    finally:
        process.kill()
        process.wait()


def answers(client):
    try:
        return client.get("/health/ready", role=None).status_code == 200
    except httpx.TransportError:
        return False


def test_a_kill_whose_service_dies_is_followed_to_its_end_by_another(live, cleared, tmp_path):
    run_id = cleared("killing")
    process = psutil.Process(running(live, "killing", run_id, "stubborn"))
    with standalone(live, tmp_path) as (service, rest):
        operation_id = kill(live, f"/dags/killing/dagRuns/{run_id}/taskInstances/stubborn", rest)
        service.kill()
        assert living(process)
    found = live.ended(operation_id)
    assert (found["state"], found["result"]["gone"]) == ("succeeded", 1)
    # Its supervisor may not have asked for its exit code yet.
    assert not living(process)
