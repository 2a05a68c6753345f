"""Testing tasks: the true outcome of each, whatever the task does, and nothing left of it."""

from __future__ import annotations

import base64
import os
import signal
import time
from uuid import uuid4

import psutil
import pytest
from benchmark import processes

from tests.support import servers

CALM, ROUGH = "trials", "trials_rough"
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


def ended(live, task_id, map_index=None, **body):
    return live.ended(begun(live, task_id, map_index, **body))


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


class TestTheOutcome:
    def test_a_success_tells_what_the_task_wrote(self, live):
        found = ended(live, "succeed", task_params={"limit": 5})
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert (found["operation"], found["error"]) == ("test_task", None)
        assert "limit is 5\n" in found["log"]
        assert found["result"]["output_bytes"] >= len("limit is 5\n")
        assert 0 < found["result"]["seconds"] < 60

    def test_a_failure_is_one_although_the_process_ends_with_0(self, live):
        found = ended(live, "fail")
        assert outcome(found) == ("failed", "failed", 0, None), found
        assert (
            found["error"]
            == "The task 'fail' of the DAG 'trials_rough' ended as 'failed'; the log tells why."
        )
        assert "ValueError: it failed on purpose" in found["log"]

    @pytest.mark.parametrize(
        ("task_id", "expected"),
        [
            ("skip", ("succeeded", "skipped", 0, None)),
            ("try_again", ("failed", "up_for_retry", 0, None)),
            ("sense", ("failed", "up_for_reschedule", 0, None)),
            ("end_itself", ("failed", "failed", 0, None)),
            ("crash", ("failed", "failed", -9, None)),
        ],
    )
    def test_other_ends_are_told_as_they_are(self, live, task_id, expected):
        assert outcome(ended(live, task_id)) == expected

    def test_a_deferred_task_goes_on_when_its_trigger_fires(self, live):
        found = ended(live, "wait")
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert "resumed kept at 20" in found["log"]
        assert found["result"]["seconds"] > 1


class TestBounds:
    def test_a_task_that_takes_too_long_is_ended_with_all_its_processes(self, live, mark):
        operation_id = begun(live, "sleep", task_params={"mark": mark}, time_limit=6)
        until(lambda: len(sleepers(mark)) == 2, 30)
        found = live.ended(operation_id)
        assert outcome(found) == ("failed", None, None, "timeout"), found
        assert "did not end within 6 s" in found["error"]
        assert "begun" in found["log"]
        assert sleepers(mark) == []

    def test_of_much_output_the_end_is_kept(self, live):
        found = ended(live, "flood")
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert len(found["log"]) == 16_000
        assert "the end" in found["log"][-300:]
        assert found["result"]["output_bytes"] > 2_000_000

    def test_a_task_that_never_stops_writing_is_ended(self, live):
        found = ended(live, "flood_on")
        assert outcome(found) == ("failed", None, None, "output"), found
        assert "64 MiB" in found["error"]

    def test_cancelling_ends_it_within_seconds_even_when_it_does_not_care(self, live, mark):
        operation_id = begun(live, "ignore", task_params={"mark": mark})
        until(lambda: sleepers(mark), 30)
        begin = time.monotonic()
        assert live.rest.post(f"/operations/{operation_id}/cancel").status_code == 200
        assert live.ended(operation_id)["state"] == "cancelled"
        assert time.monotonic() - begin < 10
        assert sleepers(mark) == []

    def test_what_a_task_leaves_behind_is_gone_at_its_end(self, live, mark):
        begin = time.monotonic()
        found = ended(live, "leave", task_params={"mark": mark})
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert sleepers(mark) == []
        assert time.monotonic() - begin < 30

    def test_two_run_at_once_the_others_wait_and_a_fifth_is_refused(self, live, mark):
        ids = [begun(live, "sleep", task_params={"mark": mark}) for _ in range(4)]
        try:
            until(lambda: len(sleepers(mark)) == 4, 30)
            states = [live.rest.get(f"/operations/{one}").json()["state"] for one in ids]
            assert sorted(states) == ["queued", "queued", "running", "running"]
            answer = live.rest.post(f"{DAG}/tasks/succeed/test", json={})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
        finally:
            for one in ids:
                live.rest.post(f"/operations/{one}/cancel")
        assert {live.ended(one)["state"] for one in ids} == {"cancelled"}
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
        found = ended(live, "tell")
        assert outcome(found) == ("failed", "failed", 0, None), found
        assert found["log"].count("printed ***") == 3, found["log"]
        for way in ("written ***", "said ***", "coded ***", "refused for ***"):
            assert way in found["log"], way
        for secret in SECRETS.values():
            for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]):
                assert form not in str(found)


class TestRuns:
    def test_a_run_tells_what_it_knows_and_does_not_change(self, live, run_id):
        def everything():
            xcoms = f"{DAG}/dagRuns/~/taskInstances/~/xcomEntries"
            paths = [
                f"{DAG}/dagRuns",
                f"{DAG}/dagRuns/~/taskInstances",
                xcoms,
                "/assets/events",
                "/dags/trials",
            ]
            return [
                live.v2.get(path, params={"limit": 1000}).json() for path in paths if path != "/dags/trials"
            ]

        before = everything()
        found = ended(live, "downstream", dag_run_id=run_id)
        assert outcome(found) == ("succeeded", "success", 0, None), found
        assert f"found {{'answer': 42}} on 2026-01-05 in {run_id} with {{'limit': 7}}" in found["log"]
        assert "own note is mine" in found["log"]
        assert outcome(ended(live, "touch", logical_date="2026-01-05T00:00:00Z"))[1] == "success"
        assert everything() == before

    def test_a_date_is_told_to_the_task_without_a_run_of_it(self, live):
        found = ended(live, "downstream", logical_date="2026-02-03T00:00:00Z")
        assert "found None on 2026-02-03 in __airflow_temporary_run_" in found["log"], found

    def test_instances_of_mapped_tasks_are_tested_one_by_one(self, live, run_id):
        assert "twice is 4" in ended(live, "double", 1, dag_run_id=run_id)["log"]
        assert "thrice is 6" in ended(live, "treble", 1)["log"]


class TestTheEndOfTheService:
    def test_nothing_outlives_a_service_that_is_killed(self, live, mark, tmp_path):
        port = processes.free_port()
        command = [str(servers.PROGRAMS / "airflow-rest-api"), *servers.COMMANDS["standalone"][1:], str(port)]
        replica = processes.start(command, tmp_path / "log", env=live.component("scheduler").environ())
        try:
            url = f"http://127.0.0.1:{port}"
            headers = {"Authorization": f"Bearer {live.rest._token('admin')}"}
            servers._wait(url.removesuffix("/rest_api/v1"), lambda: replica.poll() is None, tmp_path / "log")
            import httpx

            answer = httpx.post(
                f"{url}{DAG}/tasks/sleep/test",
                json={"task_params": {"mark": mark}},
                headers=headers,
                timeout=60,
            )
            assert answer.status_code == 202, answer.text
            until(lambda: len(sleepers(mark)) == 2, 40)
            os.kill(replica.pid, signal.SIGKILL)
            until(lambda: not sleepers(mark), 10)
        finally:
            processes.stop(replica)
        assert live.ended(operation_id, 60)["state"] == "lost"
