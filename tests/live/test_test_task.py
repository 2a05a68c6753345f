"""Testing tasks: the true outcome of each, whatever the task does, and nothing left of it."""

from __future__ import annotations

import base64
import os
import signal
import time
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import uuid4

import httpx
import psutil
import pytest
from benchmark import processes

from tests.support import clients, servers

CALM, ROUGH = "trials", "trials_rough"
# Nothing here depends on the locks of the database.
DATABASES = ("sqlite",)
pytestmark = pytest.mark.timeout(240)

DAG = f"/dags/{CALM}"
CALM_TASKS = {"succeed", "touch", "upstream", "downstream", "numbers", "double", "treble"}
SECRETS = {
    "password": "Tr1al-Passw0rd",
    "extra": "Tr1al-Private-Key-In-Extra",
    "variable": "Tr1al-Api-Key-Value",
}


@pytest.fixture(scope="module")
def run_id(live):
    """A run of the DAG in which `upstream` and `numbers` have returned something."""
    run_id = live.trigger(CALM, logical_date="2026-01-05T00:00:00Z", conf={"limit": 7})
    assert live.until(CALM, run_id, seconds=120)["state"] == "success"
    return run_id


@pytest.fixture
def mark():
    """A number of seconds to sleep by which the processes of one test are known."""
    return f"4{uuid4().int % 10**9}.{uuid4().int % 10**6}"


def begun(live, task_id, map_index=None, **body):
    answer = live.rest.post(
        f"/dags/{CALM if task_id in CALM_TASKS else ROUGH}/tasks/{task_id}/test",
        params={} if map_index is None else {"map_index": map_index},
        json=body,
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["operation_id"]


def sleepers(mark):
    every = psutil.process_iter(["cmdline"])
    return [process.pid for process in every if mark in (process.info["cmdline"] or [])]


def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def outcome(operation):
    result = operation["result"] or {}
    return operation["state"], result.get("task_state"), result.get("exit_code"), result.get("ended_by")


def both(live, *begun_ones):
    """The ends of several that were begun together."""
    return [live.ended(one, 90) for one in begun_ones]


class TestTheOutcome:
    def test_it_is_what_became_of_the_task_and_not_of_the_process(self, live):
        success, failure, skipped, resumed = both(
            live,
            begun(live, "succeed", task_params={"limit": 5}),
            begun(live, "fail"),
            begun(live, "skip"),
            begun(live, "wait"),
        )
        assert outcome(success) == ("succeeded", "success", 0, None), success
        assert (success["operation"], success["error"]) == ("test_task", None)
        assert "limit is 5\n" in success["log"]
        assert success["result"]["output_bytes"] >= len("limit is 5\n")
        assert 0 < success["result"]["seconds"] < 60
        assert outcome(failure) == ("failed", "failed", 0, None), failure
        sentence = "The task 'fail' of the DAG 'trials_rough' ended as 'failed'; the log tells why."
        assert failure["error"] == sentence
        assert "ValueError: it failed on purpose" in failure["log"]
        assert outcome(skipped) == ("succeeded", "skipped", 0, None), skipped
        assert outcome(resumed) == ("succeeded", "success", 0, None), resumed
        assert "resumed kept at 20" in resumed["log"]
        assert resumed["result"]["seconds"] > 1

    def test_other_ends_are_told_as_they_are(self, live):
        expected = {
            "try_again": ("failed", "up_for_retry", 0, None),
            "sense": ("failed", "up_for_reschedule", 0, None),
            "end_itself": ("failed", "failed", 0, None),
            "crash": ("failed", "failed", -9, None),
        }
        found = both(live, *(begun(live, task_id) for task_id in expected))
        assert [outcome(one) for one in found] == list(expected.values())


class TestBounds:
    def test_a_task_that_takes_too_long_is_ended_with_all_its_processes(self, live, mark):
        operation_id = begun(live, "sleep", task_params={"mark": mark}, time_limit=5)
        until(lambda: len(sleepers(mark)) == 2, 40)
        found = live.ended(operation_id)
        assert outcome(found) == ("failed", None, None, "timeout"), found
        assert "did not end within 5 s" in found["error"]
        assert "begun" in found["log"]
        assert sleepers(mark) == []

    def test_of_much_output_the_end_is_kept_and_what_never_stops_writing_is_ended(self, live):
        found, endless = both(live, begun(live, "flood"), begun(live, "flood_on"))
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert len(found["log"]) == 16_000
        assert "the end" in found["log"][-300:]
        assert found["result"]["output_bytes"] > 2_000_000
        assert outcome(endless) == ("failed", None, None, "output"), endless
        assert "64 MiB" in endless["error"]

    def test_nothing_is_left_when_it_is_cancelled_or_leaves_processes_behind(self, live, mark):
        careless, leaving = (begun(live, name, task_params={"mark": mark}) for name in ("ignore", "leave"))
        assert outcome(live.ended(leaving)) == ("succeeded", "success", 0, None)
        until(lambda: sleepers(mark), 40)
        begin = time.monotonic()
        assert live.rest.post(f"/operations/{careless}/cancel").status_code == 200
        assert live.ended(careless)["state"] == "cancelled"
        assert time.monotonic() - begin < 10
        assert sleepers(mark) == []

    def test_nothing_is_left_when_the_warden_itself_is_killed(self, live, mark):
        operation_id = begun(live, "sleep", task_params={"mark": mark})
        until(lambda: len(sleepers(mark)) == 2, 40)
        above = {parent for pid in sleepers(mark) for parent in psutil.Process(pid).parents()}
        (warden,) = (one for one in above if "airflow_rest_api.trial.warden" in one.cmdline())
        warden.kill()
        found = live.ended(operation_id)
        assert outcome(found) == ("failed", None, None, None), found
        assert "the process for it failed" in found["error"]
        assert sleepers(mark) == []

    def test_two_run_at_once_the_others_wait_and_a_fifth_is_refused(self, live, mark):
        ids = [begun(live, "sleep", task_params={"mark": mark}) for _ in range(4)]
        try:
            until(lambda: len(sleepers(mark)) == 4, 40)
            states = [live.rest.get(f"/operations/{one}").json()["state"] for one in ids]
            assert sorted(states) == ["queued", "queued", "running", "running"]
            answer = live.rest.post(f"{DAG}/tasks/succeed/test", json={})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
        finally:
            for one in ids:
                live.rest.post(f"/operations/{one}/cancel")
        assert {found["state"] for found in both(live, *ids)} == {"cancelled"}
        assert sleepers(mark) == []


class TestSecrets:
    @pytest.fixture(autouse=True)
    def stored(self, live):
        connection = {
            "connection_id": "trials_secret",
            "conn_type": "http",
            "password": SECRETS["password"],
            "extra": f'{{"private_key": "{SECRETS["extra"]}"}}',
        }
        variable = {"key": "trials_api_key", "value": SECRETS["variable"]}
        for path, body in (("/connections", connection), ("/variables", variable)):
            assert live.v2.post(path, json=body).status_code == 201
        yield
        live.v2.delete("/connections/trials_secret")
        live.v2.delete("/variables/trials_api_key")

    def test_they_are_masked_however_the_task_tells_them(self, live):
        found = live.ended(begun(live, "tell"))
        assert outcome(found) == ("failed", "failed", 0, None), found
        assert found["log"].count("printed ***") == 3, found["log"]
        for way in ("written ***", "said ***", "coded ***", "refused for ***"):
            assert way in found["log"], way
        for secret in SECRETS.values():
            for form in (secret, base64.b64encode(secret.encode()).decode()[: len(secret) // 3 * 4]):
                assert form not in str(found)


class TestRuns:
    def test_a_run_tells_what_it_knows_and_does_not_change(self, live, run_id):
        def everything():
            xcoms = f"{DAG}/dagRuns/~/taskInstances/~/xcomEntries"
            paths = [f"{DAG}/dagRuns", f"{DAG}/dagRuns/~/taskInstances", xcoms, "/assets/events"]
            return [live.v2.get(path, params={"limit": 1000}).json() for path in paths]

        before = everything()
        found, touched, doubled = both(
            live,
            begun(live, "downstream", dag_run_id=run_id),
            begun(live, "touch", logical_date="2026-01-05T00:00:00Z"),
            begun(live, "double", 1, dag_run_id=run_id),
        )
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert f"found {{'answer': 42}} on 2026-01-05 in {run_id} with {{'limit': 7}}" in found["log"]
        assert "own note is mine" in found["log"]
        assert outcome(touched) == ("succeeded", "success", 0, None), touched
        assert "twice is 4" in doubled["log"]
        assert everything() == before

    def test_a_date_is_told_to_the_task_without_a_run_of_it(self, live):
        dated, mapped = both(
            live, begun(live, "downstream", logical_date="2026-02-03T00:00:00Z"), begun(live, "treble", 1)
        )
        assert "found None on 2026-02-03 in __airflow_temporary_run_" in dated["log"], dated
        assert "thrice is 6" in mapped["log"], mapped


class TestTheEndOfTheService:
    def test_nothing_outlives_a_service_that_is_killed(self, live, mark, tmp_path):
        with replica(live, tmp_path / "log") as (process, client):
            operation_id = begun(SimpleNamespace(rest=client), "sleep", task_params={"mark": mark})
            until(lambda: len(sleepers(mark)) == 2, 40)
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: not sleepers(mark), 10)
        assert live.ended(operation_id, 60)["state"] == "lost"


@contextmanager
def replica(live, log):
    """Another service beside the one in Airflow's API server."""
    port = processes.free_port()
    command = [str(servers.PROGRAMS / "airflow-rest-api"), *servers.COMMANDS["standalone"][1:], str(port)]
    process = processes.start(command, log, env=live.environment)
    try:
        url = f"http://127.0.0.1:{port}"
        servers._wait(url, lambda: process.poll() is None, log)
        with httpx.Client(base_url=url, timeout=60) as http:
            yield process, clients.Client(http, clients.REST, clients.Tokens())
    finally:
        processes.stop(process)
