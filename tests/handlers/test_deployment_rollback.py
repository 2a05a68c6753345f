"""Deployments that were made: listed, told and undone."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployment_following import Following
from tests.support import deployments, parser
from tests.support.deployments import dag_file, found, order, store

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]
NEW, OLD = b"new = 2\n", b"old = 1\n"


@pytest.fixture
def deploying(folder, restored_database, token):
    """A client of a service that may deploy."""
    with deployments.service(token) as client:
        yield client


def put(path="etl.py", data=NEW, dags=None, **options):
    return store(order(path, Content.of_file(data), dags, **options))["deployment_id"]


def undo(client, deployment_id, body=None, **options):
    return client.post(f"/deployments/{deployment_id}/rollback", json=body or {}, **options)


class TestGetDeployments:
    def test_filters(self, rest, folder, dag_id):
        first, second = put(), put("team/other.py", dag_file(dag_id), {dag_id: "team/other.py"})
        for filters, expected in (
            ({}, [second, first]),
            ({"order_by": "created_at"}, [first, second]),
            ({"path": "etl.py"}, [first]),
            ({"bundle_name": "trial"}, [second, first]),
            ({"bundle_name": "another"}, []),
            ({"dag_id": dag_id}, [second]),
            ({"state": "live"}, [first]),
            ({"state": ["live", "stored"]}, [second, first]),
            ({"deployed_by": "admin"}, [second, first]),
            ({"deployed_by": "op"}, []),
            ({"created_at_gte": "2036-01-01T00:00:00Z"}, []),
            ({"created_at_lte": "2036-01-01T00:00:00Z"}, [second, first]),
        ):
            answer = rest.get("/deployments", params=filters).json()
            assert [one["deployment_id"] for one in answer["deployments"]] == expected, filters
            assert answer["total_entries"] == len(expected)

    def test_by_cursor_nothing_is_missed_and_nothing_comes_twice(self, rest, folder):
        ids = [put(data=b"x = %d\n" % number) for number in range(5)]
        seen, cursor = [], ""
        while cursor is not None:
            page = rest.get("/deployments", params={"cursor": cursor, "limit": 2}).json()
            seen += [one["deployment_id"] for one in page["deployments"]]
            cursor = page["next_cursor"]
        assert seen == ids[::-1]

    def test_whose_dags_one_may_not_read_is_not_seen(self, rest, folder, dag_id, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions
        from airflow_rest_api.services.caller import DagScope

        put()
        shown = put("team/other.py", dag_file(dag_id), {dag_id: "team/other.py"})
        put("more.py", dag_file("hidden"), {dag_id: "more.py", "hidden": "more.py"})
        scope = DagScope(frozenset({dag_id}), everything=False)
        monkeypatch.setattr(AirflowPermissions, "dag_scope", lambda *_: scope)
        answer = rest.get("/deployments", role="viewer").json()
        assert [one["deployment_id"] for one in answer["deployments"]] == [shown]
        assert len(rest.get("/deployments", role="admin").json()["deployments"]) == 3, "its own"


class TestGetDeployment:
    def test_what_changed_is_told(self, rest, folder):
        put(data=OLD)
        answer = rest.get(f"/deployments/{put(data=NEW)}").json()
        assert answer["diff"] == "--- a/etl.py\n+++ b/etl.py\n@@ -1 +1 @@\n-old = 1\n+new = 2\n"
        assert (answer["state"], answer["is_current"]) == ("live", True)

    def test_what_changed_is_not_told_to_who_may_not_read_it(self, rest, folder, dag_id, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions

        new = put("etl.py", dag_file(dag_id), {dag_id: "etl.py"})
        may_dag = AirflowPermissions.may_dag

        def may(self, dag_id, method, entity=None):
            return entity != "CODE" and may_dag(self, dag_id, method, entity)

        assert "+++ b/etl.py" in rest.get(f"/deployments/{new}", role="viewer").json()["diff"]
        monkeypatch.setattr(AirflowPermissions, "may_dag", may)
        answer = rest.get(f"/deployments/{new}", role="viewer").json()
        assert (answer["deployment_id"], answer["diff"]) == (new, None)

    def test_an_unknown_one(self, rest):
        answer = rest.get(f"/deployments/{uuid4()}")
        assert (answer.status_code, answer.json()["title"]) == (404, "Deployment not found")

    def test_the_end_is_waited_for(self, rest, folder, dag_id):
        new = put("etl.py", dag_file(dag_id), {dag_id: "etl.py"})
        following = Following()
        following.run()
        try:
            parser.parse(folder, "etl.py", 0.0, deployments.BUNDLE)
            begun = time.monotonic()
            answer = rest.get(f"/deployments/{new}", params={"wait": 20}).json()
        finally:
            following.stop()
        assert answer["state"] == "live"
        assert time.monotonic() - begun < 15


class TestRollbackDeployment:
    def test_the_content_from_before_comes_back_as_a_new_deployment(self, deploying, folder):
        first, second = put(data=OLD), put(data=NEW)
        answer = undo(deploying, second, {"message": "Too soon."})
        assert answer.status_code == 201, answer.text
        back = answer.json()
        assert answer.headers["Location"].endswith(f"/rest_api/v1/deployments/{back['deployment_id']}")
        told = {
            name: back[name]
            for name in ("state", "number", "rollback_of", "message", "deployed_by", "is_current")
        }
        assert told == {
            "state": "live",
            "number": 3,
            "rollback_of": second,
            "message": "Too soon.",
            "deployed_by": "admin",
            "is_current": True,
        }
        assert (folder / "etl.py").read_bytes() == OLD
        undone = deploying.get(f"/deployments/{second}").json()
        assert (undone["state"], undone["rolled_back_by"]) == ("rolled_back", back["deployment_id"])
        assert not undone["is_current"]
        refused = undo(deploying, first)
        assert (refused.status_code, refused.json()["type"]) == (
            409,
            "urn:airflow-rest-api:problem:no-longer-current",
        )
        again = undo(deploying, back["deployment_id"])
        assert again.status_code == 201
        assert (folder / "etl.py").read_bytes() == NEW

    def test_a_first_deployment_is_removed(self, deploying, folder, dag_id):
        new = put("team/etl.py", dag_file(dag_id), {dag_id: "team/etl.py"})
        answer = undo(deploying, new)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["sha256"], answer.json()["size"]) == (None, 0)
        assert not (folder / "team/etl.py").exists()

    def test_a_folder_comes_back_whole(self, deploying, folder):
        old, new = Content.of_files({"a.py": b"1", "b/c.py": b"2"}), Content.of_files({"a.py": b"3"})
        store(order("pack", old))
        second = store(order("pack", new))["deployment_id"]
        assert undo(deploying, second).status_code == 201
        assert Content.of_folder(folder / "pack") == old

    def test_a_repetition_has_one_effect(self, deploying, folder):
        put(data=OLD)
        second, headers = put(data=NEW), {"Idempotency-Key": uuid4().hex}
        first_answer = undo(deploying, second, headers=headers)
        again = undo(deploying, second, headers=headers)
        assert (again.status_code, again.json()) == (201, first_answer.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert deploying.get("/deployments").json()["total_entries"] == 3

    @pytest.mark.parametrize("role", ["op", "user", "viewer", "nobody"])
    def test_it_takes_the_power(self, deploying, folder, role):
        new = put()
        assert undo(deploying, new, role=role).status_code == 403
        assert (folder / "etl.py").exists()

    def test_it_takes_the_right_to_change_each_dag(self, deploying, folder, dag_id, monkeypatch):
        from airflow_rest_api.security.access import AirflowPermissions

        new = put("etl.py", dag_file(dag_id), {dag_id: "etl.py"})
        may_dag = AirflowPermissions.may_dag

        def may(self, asked, method, entity=None):
            return (asked, method) != (dag_id, "PUT") and may_dag(self, asked, method, entity)

        monkeypatch.setattr(AirflowPermissions, "may_dag", may)
        answer = undo(deploying, new)
        assert (answer.status_code, dag_id in answer.json()["detail"]) == (403, True)
        assert (folder / "etl.py").exists()

    def test_it_takes_the_switch(self, rest, folder):
        answer = undo(rest, put())
        assert (answer.status_code, answer.json()["switch"]) == (403, "deploy_enabled")

    def test_what_is_not_kept_any_more_does_not_come_back(self, deploying, folder):
        from airflow_rest_api.services.database import write
        from airflow_rest_api.storage.tables import deployment as table

        first, second = put(data=OLD), put(data=NEW)
        mine = table.update().where(table.c.id == first)
        write(lambda session: session.execute(mine.values(content=None)))
        answer = undo(deploying, second)
        assert (answer.status_code, answer.json()["title"]) == (
            409,
            "The former content is not kept any more",
        )
        assert deploying.get(f"/deployments/{second}").json()["diff"] is None

    def test_a_bundle_that_is_gone(self, deploying, folder):
        from airflow_rest_api.services.database import write
        from airflow_rest_api.storage.tables import deployment as table

        new = put()
        write(lambda session: session.execute(table.update().values(bundle_name="gone")))
        assert undo(deploying, new).status_code == 404
        assert found(new).state == "live"
