"""Celery: everything but the broker and the database is started through HTTP: a run, its worker, Flower."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import httpx
import psutil
import pytest
from benchmark import processes

from airflow_rest_api.supervision.registry import Registry
from tests.support import broker, canaries, clients, environment, live, postgres, servers
from tests.support.component_servers import process_of
from tests.support.components import command_of

pytestmark = [pytest.mark.xdist_group("celery"), pytest.mark.timeout(300)]

WORKERS = "/components/celery-worker/workers"
WORKER = "celery@first"
FLOWERS = ("watcher", "flower-password-of-the-test")
STARTED = {
    "api-server": {"apps": ["execution"], "workers": 1},
    "dag-processor": {},
    "scheduler": {"skip_serve_logs": True},
    "celery-worker": {
        "queues": ["default"],
        "concurrency": 1,
        "celery_hostname": "first",
        "skip_serve_logs": True,
        "without_gossip": True,
        "without_mingle": True,
    },
    "celery-flower": {"url_prefix": "flower"},
}


@dataclass
class Celery:
    """What the tests speak to."""

    rest: clients.Client
    broker: subprocess.Popen[bytes]
    flower_port: int
    begun: dict[str, dict]

    def ended(self, operation: dict, seconds: float = 120) -> dict:
        """The operation, when it has ended."""
        place, deadline = f"/operations/{operation['operation_id']}", time.monotonic() + seconds
        while (found := self.rest.get(place, params={"wait": 30}).json())["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, found
        return found

    def workers(self) -> list[dict]:
        """The workers that answer."""
        answer = self.rest.get(WORKERS)
        assert answer.status_code == 200, answer.text
        return answer.json()["workers"]


@pytest.fixture(scope="module")
def celery(tmp_path_factory) -> Iterator[Celery]:
    """An Airflow on PostgreSQL with the Celery executor, whose components the service starts, all at once."""
    from benchmark.database import postgres_cluster

    postgres.require()
    place = tmp_path_factory.mktemp("celery")
    with (
        postgres_cluster() as url,
        broker.running(place / "broker") as (broker_url, process),
        serving(place / "home", url, broker_url) as (rest, port),
    ):
        begun = {
            name: rest.post(f"/components/{name}/start", json={"options": options}).json()
            for name, options in STARTED.items()
        }
        yield Celery(rest, process, port, begun)


@contextmanager
def serving(home: Path, url: str, broker_url: str) -> Iterator[tuple[clients.Client, int]]:
    """A client of the service in a home of its own, and the port that Flower has there."""
    environment.prepare(home)
    shutil.copy(live.DAGS / "basic.py", home / environment.DRAFTS)
    (home / "airflow.db").touch()
    api, flower = processes.free_port(), processes.free_port()
    bundle = environment.local_bundle(environment.DRAFTS, home / environment.DRAFTS)
    settings = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__CELERY__BROKER_URL": broker_url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{url}",
        "AIRFLOW__CELERY__FLOWER_PORT": str(flower),
        "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": ":".join(FLOWERS),
        "AIRFLOW__REST_API__COMPONENTS_ENABLED": ",".join(STARTED),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    }
    variables = environment.without_coverage(os.environ)
    with mock.patch.dict(os.environ, variables, clear=True):
        _migrate(home, settings)
        with (
            servers.running("standalone", home, **settings) as server,
            httpx.Client(base_url=server.url, timeout=90) as http,
        ):
            try:
                yield clients.Client(http, clients.REST, clients.Tokens()), flower
            finally:
                registry = Registry(home / "rest_api" / "components")
                for left in registry.all():
                    registry.stop(left.component, left.instance, grace_seconds=0)


def _migrate(home: Path, settings: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "from tests.support.seed import migrate; migrate()"],
        cwd=environment.ROOT,
        env={**environment.inherited(), **environment.settings(home), **settings},
        check=True,
        capture_output=True,
    )


def until(look, seconds: float = 30):
    """What is found when it is."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
    return found


def test_every_part_is_alive_when_its_operation_ends(celery):
    for name, operation in celery.begun.items():
        found = celery.ended(operation)
        assert found["state"] == "succeeded", f"{name}: {found['error']}\n{found['log']}"


def test_a_run_succeeds_on_the_worker(celery):
    until(lambda: celery.rest.get("/dags/basic").status_code == 200, 60)
    (before,) = celery.workers()
    run = celery.rest.post("/dags/basic/dagRuns", json={"logical_date": None}).json()
    place, deadline = f"/dags/basic/dagRuns/{run['dag_run_id']}", time.monotonic() + 90
    while (found := celery.rest.get(place, params={"wait": 30}).json())["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline, found
    assert found["state"] == "success"
    (after,) = celery.workers()
    assert after["received_tasks"] - before["received_tasks"] == 2
    tries = celery.rest.get(f"{place}/taskInstances").json()["task_instances"]
    assert {(one["task_id"], one["state"], one["queue"]) for one in tries} == {
        ("first", "success", "default"),
        ("second", "success", "default"),
    }


def test_a_worker_is_told_as_it_is(celery):
    # A run has ended a moment before its last task has left the worker.
    until(lambda: celery.workers()[0]["active_tasks"] == 0)
    (found,) = celery.workers()
    process = process_of(celery.rest, "celery-worker")
    assert found.pop("uptime_seconds") >= 0
    assert found.pop("received_tasks") == 2
    assert found == {
        "worker_name": WORKER,
        "hostname": "first",
        "pid": process["pid"],
        "pool_size": 1,
        "queues": ["default"],
        "active_tasks": 0,
        "reserved_tasks": 0,
        "scheduled_tasks": 0,
    }
    assert celery.rest.get(WORKERS, role="nobody").status_code == 403


def test_a_queue_is_added_and_taken_away(celery):
    place = f"{WORKERS}/{WORKER}/queues/extra.1"
    for _ in range(2):
        answer = celery.rest.put(place)
        assert (answer.status_code, answer.json()["queues"]) == (200, ["default", "extra.1"])
    assert celery.rest.delete(place).status_code == 204
    answer = celery.rest.delete(place)
    assert (answer.status_code, answer.json()["title"]) == (404, "Celery queue not found")
    assert celery.workers()[0]["queues"] == ["default"]
    for method, path in (("PUT", "/queues/extra"), ("DELETE", "/queues/default"), ("POST", "/shutdown")):
        answer = celery.rest.request(method, f"{WORKERS}/celery@*{path}")
        assert (answer.status_code, answer.json()["title"]) == (404, "Celery worker not found")
        assert celery.rest.request(method, f"{WORKERS}/{WORKER}{path}", role="op").status_code == 403


def test_flower_lets_in_who_has_the_credential_alone(celery):
    page = f"http://127.0.0.1:{celery.flower_port}/flower/workers"
    assert httpx.get(page).status_code == 401
    assert httpx.get(page, auth=(FLOWERS[0], "another")).status_code == 401
    answer = httpx.get(page, auth=FLOWERS)
    assert answer.status_code == 200
    process = process_of(celery.rest, "celery-flower")
    found = psutil.Process(process["pid"])
    listening = {one.laddr for one in found.net_connections("tcp") if one.status == "LISTEN"}
    assert listening == {("127.0.0.1", celery.flower_port)}


def test_no_command_line_holds_a_secret(celery):
    for name in STARTED:
        process = process_of(celery.rest, name)
        first = psutil.Process(process["pid"])
        for one in (first, *first.children(recursive=True)):
            line = " ".join(command_of(one))
            assert FLOWERS[1] not in line
            assert canaries.BROKER_PASSWORD not in line


def test_a_worker_ends_when_it_is_told_so(celery):
    answer = celery.rest.post(f"{WORKERS}/{WORKER}/shutdown")
    assert (answer.status_code, answer.json()["worker_name"]) == (200, WORKER)

    def state() -> dict:
        return process_of(celery.rest, "celery-worker")

    until(lambda: state()["state"] == "exited" and state()["process_count"] == 0, 60)
    assert celery.workers() == []
    assert celery.rest.post(f"{WORKERS}/{WORKER}/shutdown").status_code == 404


def test_what_is_stopped_is_gone(celery):
    again = celery.rest.post("/components/celery-worker/start", json={"options": STARTED["celery-worker"]})
    assert celery.ended(again.json())["state"] == "succeeded"
    families = []
    for name in STARTED:
        first = psutil.Process(process_of(celery.rest, name)["pid"])
        families += [first, *first.children(recursive=True)]
    stopping = [celery.rest.post(f"/components/{name}/stop").json() for name in STARTED]
    for operation in stopping:
        found = celery.ended(operation)
        assert (found["state"], found["result"]["exit_code"] in (0, -15)) == ("succeeded", True), found
    assert [one for one in families if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_broker_that_is_away_is_told_soon(celery):
    processes.stop(celery.broker)
    begun = time.monotonic()
    for method, path in (("GET", ""), ("PUT", f"/{WORKER}/queues/a"), ("POST", f"/{WORKER}/shutdown")):
        answer = celery.rest.request(method, f"{WORKERS}{path}")
        assert (answer.status_code, answer.json()["title"]) == (503, "Celery's broker is unavailable")
        assert answer.headers["Retry-After"] == "5"
    assert time.monotonic() - begun < 12
