"""Old deployments beside a DAG processor that is alive, as a script makes them: deploy, use, refresh, delete."""

from __future__ import annotations

import pytest

from tests.support.deployments import dag_file
from tests.support.old_calls import OldCalls

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.xdist_group("processor"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def call(life, token):
    return OldCalls(life.rest.http, token)


def test_what_is_deployed_is_served_and_what_is_deleted_is_gone(life, call):
    for number, door in enumerate(("clairvoyant", "ebay")):
        files = {"dag_file": ("scripted.py", dag_file("scripted", number, task=f"work_{number}"))}
        answer = call(door, "deploy_dag", files=files, form={"force": "on", "unpause": "true"})
        module = f"<module 'module.name' from '{life.drafts}/scripted.py'>"
        text = answer.json()["output" if door == "clairvoyant" else "message"]
        assert (answer.status_code, text) == (200, f"DAG File [{module}] has been uploaded")
        # At once, which the old plugins could not promise.
        found = life.rest.get("/dags/scripted/tasks").json()["tasks"]
        assert [task["task_id"] for task in found] == [f"work_{number}"]
        assert life.rest.get("/dags/scripted").json()["is_paused"] is False
    fresh = call("clairvoyant", "refresh_dag", {"dag_id": "scripted"}).json()["output"]
    assert fresh == "DAG [scripted] is now fresh as a daisy"
    answer = call("ebay", "delete_dag", {"dag_id": "scripted"})
    assert answer.json() == {"message": "DAG [scripted] deleted", "status": "success"}
    assert life.rest.get("/dags/scripted").status_code == 404
