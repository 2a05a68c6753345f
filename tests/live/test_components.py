"""Airflow's own processes, started and stopped through HTTP, and seen alive by other means."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest
from benchmark import processes

from tests.support import clients, component_servers, environment
from tests.support.component_servers import ended, process_of, serving

pytestmark = [pytest.mark.xdist_group("components"), pytest.mark.timeout(240)]

SETTINGS = {
    "AIRFLOW__REST_API__COMPONENTS_ENABLED": "scheduler,dag-processor,triggerer,api-server",
    # What waits for a heartbeat need not wait for long, and idle workers cost a fork each.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__CORE__PARALLELISM": "1",
}
JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    with component_servers.home(tmp_path_factory.mktemp("components")) as folder:
        yield folder


@pytest.fixture(scope="module")
def rest(place) -> Iterator[clients.Client]:
    with serving("standalone", place, **SETTINGS) as client:
        yield client


def jobs_of(place: Path, component_name: str, state: str = "running") -> int:
    with closing(sqlite3.connect(place / "airflow.db", timeout=30)) as database:
        wanted = (JOBS[component_name], state)
        (found,) = database.execute(
            "SELECT count(*) FROM job WHERE job_type = ? AND state = ?", wanted
        ).fetchone()
    return found


def family_of(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@pytest.mark.parametrize(
    ("component_name", "options"),
    [("scheduler", {"skip_serve_logs": True}), ("dag-processor", {"bundle_name": [environment.DRAFTS]})],
)
def test_a_component_is_alive_when_its_operation_ends_and_gone_when_the_next_one_does(
    rest, place, component_name, options
):
    before = jobs_of(place, component_name)
    begun = ended(rest, component_name, "start", json={"options": options})
    assert begun["state"] == "succeeded", begun
    assert jobs_of(place, component_name) == before + 1
    (job,) = rest.get(f"/components/{component_name}").json()["jobs"]
    assert job["job_type"] == JOBS[component_name]
    found = process_of(rest, component_name)
    assert (found["state"], found["pid"]) == ("running", begun["result"]["pid"])
    assert found["memory_bytes"] > 50 << 20
    assert rest.post(f"/components/{component_name}/start").status_code == 409

    family = family_of(found["pid"])
    stopped = ended(rest, component_name, "stop")

    assert stopped["state"] == "succeeded", stopped
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert process_of(rest, component_name)["state"] == "exited"
    assert jobs_of(place, component_name) == before


def test_an_api_server_answers_when_its_operation_ends(rest):
    port = processes.free_port()
    body = {"options": {"port": port, "apps": ["core"], "workers": 1}}
    begun = ended(rest, "api-server", "start", json=body)
    assert begun["state"] == "succeeded", begun
    assert httpx.get(f"http://127.0.0.1:{port}/api/v2/version").json()["version"].startswith("3.")
    listening = psutil.Process(begun["result"]["pid"]).net_connections("tcp")
    assert {one.laddr for one in listening if one.status == "LISTEN"} == {("127.0.0.1", port)}

    second = ended(rest, "api-server", "start", params={"instance": "second"}, json=body)
    assert second["state"] == "failed", second
    assert "address already in use" in second["log"]

    family = family_of(begun["result"]["pid"])
    assert ended(rest, "api-server", "stop", json={"grace_seconds": 20})["state"] == "succeeded"
    assert [one for one in family if one.is_running()] == []
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/api/v2/version")


def test_a_component_outlives_the_api_server_that_started_it(rest, place):
    with serving("mounted", place, **SETTINGS) as mounted:
        begun = ended(mounted, "triggerer", "start", json={"options": {"capacity": 10}, "restart": True})
        assert begun["state"] == "succeeded", begun
        pid = begun["result"]["pid"]
        ancestors = {one.pid for one in psutil.Process(pid).parents()}
        assert ancestors.isdisjoint(one.pid for one in psutil.Process().children(recursive=True))
    assert jobs_of(place, "triggerer") == 1
    assert (process_of(rest, "triggerer")["pid"], psutil.Process(pid).is_running()) == (pid, True)

    family = family_of(pid)
    assert ended(rest, "triggerer", "stop")["state"] == "succeeded"
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert (jobs_of(place, "triggerer"), process_of(rest, "triggerer")["restarts"]) == (0, 0)
