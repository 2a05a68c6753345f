"""Deployments beside a DAG processor that is alive, with Airflow's default settings: from upload to what is served."""

from __future__ import annotations

import statistics
import time

import pytest

from airflow_rest_api.sandbox import packages
from tests.support import processor
from tests.support.deployments import dag_file

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.xdist_group("processor"),
    pytest.mark.timeout(300),
]
# What no sandbox can tell: Airflow parses with its settings, of which the sandbox knows nothing.
ONLY_THERE = b"""\
import os

from airflow.sdk import DAG

if "AIRFLOW__CORE__FERNET_KEY" in os.environ:
    raise RuntimeError("only there")

dag = DAG({dag_id!r}, schedule=None)
"""


def deploy(life, path, data, **fields):
    form = {"dag_file": (path, data), "bundle_name": (None, processor.BUNDLE), "path": (None, path)}
    answer = life.rest.post(
        "/deployments", files={**form, **{name: (None, value) for name, value in fields.items()}}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def ended(life, deployment):
    answer = life.rest.get(f"/deployments/{deployment['deployment_id']}", params={"wait": 45})
    return answer.json()


def source(life, dag_id):
    return life.rest.get(f"/dagSources/{dag_id}").json().get("content", "").encode()


def broken(dag_id):
    return ONLY_THERE.replace(b"{dag_id!r}", repr(dag_id).encode())


def test_what_is_deployed_is_served_and_served_anew_within_the_half_minute(life):
    seconds = []
    for number in range(4):
        data = dag_file("served", number, task=f"work_{number}")
        begun = time.monotonic()
        end = ended(life, deploy(life, "served.py", data, force="true"))
        seconds.append(time.monotonic() - begun)
        assert end["state"] == "live", end
        assert source(life, "served") == data
        tasks = life.rest.get("/dags/served/tasks").json()["tasks"]
        assert [task["task_id"] for task in tasks] == [f"work_{number}"]
    assert life.rest.get("/dags/served").json()["is_paused"]
    # Airflow alone drops what changes again within 30 seconds.
    assert statistics.median(seconds) < 15


def test_what_only_airflow_cannot_import_is_taken_back(life):
    good = dag_file("taken_back")
    assert ended(life, deploy(life, "taken_back.py", good))["state"] == "live"
    end = ended(life, deploy(life, "taken_back.py", broken("taken_back"), force="true"))
    assert end["state"] == "rolled_back", end
    assert "only there" in end["errors"][0]["message"]
    assert (life.drafts / "taken_back.py").read_bytes() == good
    deadline = time.monotonic() + 30
    while life.rest.get("/dags/taken_back").json()["has_import_errors"] and time.monotonic() < deadline:
        time.sleep(0.2)
    dag = life.rest.get("/dags/taken_back").json()
    assert (dag["has_import_errors"], dag["is_stale"]) == (False, False)
    assert source(life, "taken_back") == good


def test_what_is_undone_is_served_no_more(life):
    old, new = dag_file("undone", 1), dag_file("undone", 2)
    first = ended(life, deploy(life, "undone.py", old))
    second = ended(life, deploy(life, "undone.py", new, force="true"))
    assert (first["state"], second["state"]) == ("live", "live")
    back = life.rest.post(f"/deployments/{second['deployment_id']}/rollback", json={}).json()
    assert ended(life, back)["state"] == "live"
    assert source(life, "undone") == old
    gone = life.rest.post(f"/deployments/{back['deployment_id']}/rollback", json={})
    assert gone.status_code == 201
    assert ended(life, gone.json())["state"] == "live"
    assert source(life, "undone") == new


def test_packages_with_modules_of_the_same_name_are_served(life):
    for number in range(2):
        dag = b"import names\nfrom airflow.sdk import DAG\ndag = DAG(names.NAME, schedule=None)\n"
        files = {"etl.py": dag, "names.py": f"NAME = 'packed_{number}'".encode()}
        form = {
            "archive": (f"pack_{number}.zip", packages.packed(files)),
            "bundle_name": (None, processor.BUNDLE),
        }
        response = life.rest.post("/deployments", files=form)
        assert (response.status_code, response.json()["path"]) == (201, f"pack_{number}.zip"), response.text
        end = ended(life, response.json())
        assert (end["state"], end["dag_ids"]) == ("live", [f"packed_{number}"]), end
        assert source(life, f"packed_{number}") == dag


def test_a_renamed_dag_cannot_be_triggered_once_it_is_live(life):
    assert ended(life, deploy(life, "renamed.py", dag_file("former_id")))["state"] == "live"
    end = ended(life, deploy(life, "renamed.py", dag_file("new_id"), force="true"))
    assert end["state"] == "live", end
    response = life.rest.post("/dags/former_id/dagRuns", json={"logical_date": None})
    assert response.status_code == 404, response.text
    assert life.rest.get("/dags/former_id").json()["is_stale"]


def test_a_first_deployment_that_is_undone_takes_the_dag_away(life):
    first = ended(life, deploy(life, "away.py", dag_file("away")))
    back = life.rest.post(f"/deployments/{first['deployment_id']}/rollback", json={}).json()
    assert ended(life, back)["state"] == "live"
    assert life.rest.get("/dags/away").json()["is_stale"]
    assert not (life.drafts / "away.py").exists()
