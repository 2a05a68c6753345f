"""Rendering what has not run: the fields as a run would have them, and nothing stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import clients
from tests.support.old_calls import OldCalls

# Nothing here depends on the locks of the database.
DATABASES = ("sqlite",)
pytestmark = pytest.mark.timeout(240)

DAG = "trials_rendered"
PASSWORD = "Rend3red-Passw0rd"


@pytest.fixture(scope="module")
def waiting(live):
    """A run that waits because its DAG is paused: none of its tasks has run."""
    assert live.rest.patch(f"/dags/{DAG}", json={"is_paused": True}).status_code == 200
    connection = {"connection_id": "trials_secret", "conn_type": "http", "password": PASSWORD}
    assert live.v2.post("/connections", json=connection).status_code == 201
    yield live.trigger(DAG, logical_date="2026-01-07T00:00:00Z", conf={"limit": 9})
    live.v2.delete("/connections/trials_secret")


@pytest.fixture
def rendered(live, waiting):
    """`rendered("secret", role="admin", source="live")`: the answer for a task of the waiting run."""

    def rendered(task_id, role="admin", **query):
        path = f"/dags/{DAG}/dagRuns/{waiting}/taskInstances/{task_id}/renderedFields"
        return live.rest.get(path, params=query, role=role)

    return rendered


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_what_has_not_run_is_rendered_with_its_secrets_masked_and_stored_nowhere(live, waiting, rendered):
    answer = rendered("secret")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "dag_id": DAG,
        "dag_run_id": waiting,
        "task_id": "secret",
        "map_index": -1,
        "fields": {"bash_command": "echo 9 2026-01-07 ***", "env": None, "cwd": None},
        "source": "live",
    }
    assert kind(rendered("secret", source="stored")) == (404, "rendered-fields-not-found")
    assert live.instance(DAG, waiting, "secret")["state"] is None


def test_what_cannot_be_rendered_says_why(rendered):
    answer = rendered("broken")
    assert kind(answer) == (422, "rendering-failed")
    assert answer.json()["detail"] == (
        "The fields of the task 'broken' cannot be rendered: UndefinedError: 'nothing' is undefined"
    )


def test_who_lacks_the_power_is_refused_or_gets_what_is_stored(rendered):
    assert kind(rendered("secret", role="op", source="live")) == (403, "power-missing")
    assert kind(rendered("secret", role="op")) == (404, "rendered-fields-not-found")


def test_a_mapped_task_is_rendered_by_index_and_refused_until_it_is_expanded(rendered):
    assert rendered("mapped", map_index=0).json()["fields"]["bash_command"] == "echo 2026-01-07"
    assert kind(rendered("mapped")) == (409, "map-index-needed")
    assert kind(rendered("fed")) == (409, "map-index-needed")
    assert kind(rendered("fed", map_index=0)) == (404, "task-instance-not-found")
    assert kind(rendered("nothing")) == (404, "task-instance-not-found")


def test_a_task_that_is_fed_by_another_is_rendered_as_it_was_when_it_ran(live):
    run_id = live.trigger("trials")
    assert live.until("trials", run_id, seconds=120)["state"] == "success"
    path = f"/dags/trials/dagRuns/{run_id}/taskInstances/double/renderedFields"
    stored, again = (
        live.rest.get(path, params={"map_index": 1, "source": source}).json() for source in ("stored", "live")
    )
    assert (stored["source"], again["source"]) == ("stored", "live")
    assert again["fields"] == stored["fields"]


def test_two_are_rendered_at_once_and_a_third_is_told_to_come_again(rendered):
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: rendered("slow"), range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert (kind(refused)[1], refused.headers["retry-after"]) == ("renderers-busy", "5")


def test_an_old_call_renders_for_a_date_without_a_run(live, waiting):
    old = OldCalls(live.rest.http, clients.Tokens())
    query = {"dag_id": DAG, "task_id": "secret", "execution_date": "2026-02-08"}
    rendered = old("clairvoyant", "render", query).json()["output"]
    assert "# property: bash_command\n" in rendered["stdout"]
    assert "\necho 1 2026-02-08 ***\n" in rendered["stdout"]
    refused = old("clairvoyant", "render", query, role="op").json()["output"]
    assert refused["stdout"] == ""
    assert refused["stderr"].startswith(f"DagRun for {DAG} with run_id or logical_date of '2026-02-08T")
