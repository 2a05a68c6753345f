"""Refreshing DAGs, with a DAG processor that is alive, and without one."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from airflow_rest_api.services import errors
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.dags import dag_refresh
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.kinds import KINDS
from tests.support import work
from tests.support.processor import source

EXAMPLE = "example_bash_operator"


def tasks(life, dag_id):
    return {entry["task_id"] for entry in life.rest.get(f"/dags/{dag_id}/tasks").json()["tasks"]}


def refreshed(life, dag_id):
    answer = life.rest.post(f"/dags/{dag_id}/refresh")
    assert answer.status_code == 202, answer.text
    return life.ended(answer.json()["operation_id"])


@pytest.mark.in_process
@pytest.mark.xdist_group("processor")
@pytest.mark.timeout(300)
class TestWithADagProcessor:
    def test_it_ends_when_what_the_file_holds_is_served(self, life):
        begin = time.monotonic()
        for task_id in ("second", "third", "fourth"):
            life.write("changing.py", source("changing", task_id))
            found = refreshed(life, "changing")
            assert (found["state"], found["error"]) == ("succeeded", None)
            assert found["result"] == {"served": 1, "broken": 0, "gone": 0, "waiting": 0}
            assert tasks(life, "changing") == {task_id}
        # Airflow alone writes a DAG that has changed after half a minute, and looks for it after as long.
        assert time.monotonic() - begin < 25

    def test_its_item_tells_the_file_and_its_dags_the_new_ones_too(self, life):
        life.write("changing.py", source("changing") + source("added"))
        assert refreshed(life, "changing")["items"] == [
            {
                "bundle_name": "drafts",
                "relative_fileloc": "changing.py",
                "state": "served",
                "error": None,
                "dags": [
                    {"dag_id": "added", "version_number": 1},
                    {"dag_id": "changing", "version_number": 1},
                ],
            }
        ]

    def test_a_file_that_cannot_be_imported_says_why_and_comes_back(self, life):
        life.write("changing.py", source("changing") + "1 / 0\n")
        found = refreshed(life, "changing")
        assert found["state"] == "failed"
        assert found["error"] == "The file 'changing.py' of the bundle 'drafts' could not be imported."
        assert found["result"] == {"served": 0, "broken": 1, "gone": 0, "waiting": 0}
        assert "ZeroDivisionError" in found["items"][0]["error"]
        life.write("changing.py", source("changing", "mended"))
        assert refreshed(life, "changing")["state"] == "succeeded"
        assert tasks(life, "changing") == {"mended"}

    def test_all_of_them_are_refreshed_in_one(self, life):
        # The processor sees to one bundle alone.
        with closing(sqlite3.connect(life.home / "airflow.db", timeout=30)) as database:
            database.execute("DELETE FROM import_error")
            database.execute(
                "UPDATE dag SET is_stale = 1, has_import_errors = 0 WHERE bundle_name = 'dags-folder'"
            )
            database.commit()
        life.write("changing.py", source("changing", "once_more"))
        life.write("unknown.py", source("found_by_it"))
        answer = life.rest.post("/dags/refresh")
        assert (answer.status_code, answer.json()["progress"]) == (202, {"done": 0, "total": 2})
        found = life.ended(answer.json()["operation_id"])
        assert (found["state"], found["result"]["served"]) == ("succeeded", 2)
        assert {item["relative_fileloc"] for item in found["items"]} == {"kept.py", "changing.py"}
        assert tasks(life, "changing") == {"once_more"}
        deadline = time.monotonic() + 20
        while life.rest.get("/dags/found_by_it").status_code == 404:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def test_a_file_that_is_gone_is_told(self, life):
        (life.drafts / "kept.py").unlink()
        found = refreshed(life, "kept")
        assert (found["state"], found["result"]["gone"]) == ("failed", 1)
        assert found["error"] == "The file 'kept.py' of the bundle 'drafts' is gone."
        assert life.rest.get("/dags/kept").json()["is_stale"] is True


def requests():
    from airflow.models.dagbag import DagPriorityParsingRequest as Request

    with reading() as session:
        return [(one.bundle_name, one.relative_fileloc) for one in session.scalars(select(Request))]


def ended(rest, answer):
    assert answer.status_code == 202, answer.text
    return rest.get(f"/operations/{answer.json()['operation_id']}", params={"wait": 20}).json()


class Only:
    """May do everything with these DAGs, and nothing else."""

    def __init__(self, *dag_ids):
        self.dag_ids = frozenset(dag_ids)

    def dag_scope(self, method):
        return DagScope(self.dag_ids, everything=False)

    def require_dag(self, dag_id, method, access_entity=None):
        if dag_id not in self.dag_ids:
            raise errors.Denied(f"not {dag_id}")

    def may_view(self, view):
        return False


@pytest.fixture
def asked(rest, restored_database):
    """`asked(service function, *arguments, dag_ids=[…])`: call it as who may change these DAGs alone."""
    carrier = Background(KINDS)

    def ask(function, *arguments, dag_ids):
        admin = work.admin()
        caller = Caller(admin.id, admin.name, Only(*dag_ids), admin.user)
        return function(*arguments, dry_run=True, caller=caller, background=carrier)

    yield ask
    carrier.stop()


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
class TestRefreshDag:
    def test_without_a_dag_processor_it_says_so_and_the_request_stays(self, rest):
        answer = rest.post(f"/dags/{EXAMPLE}/refresh")
        operation_id = answer.json()["operation_id"]
        assert answer.headers["location"] == f"/rest_api/v1/operations/{operation_id}"
        assert (answer.json()["state"], answer.json()["operation"]) == ("queued", "refresh_dag")
        found = ended(rest, answer)
        assert found["state"] == "failed"
        assert found["error"].startswith("No DAG processor is alive; ")
        assert found["result"] == {"served": 0, "broken": 0, "gone": 0, "waiting": 1}
        assert [item["state"] for item in found["items"]] == ["waiting"]
        assert requests() == [("dags-folder", f"{EXAMPLE}.py")]

    def test_a_dry_run_asks_for_nothing(self, rest):
        answer = rest.post(f"/dags/{EXAMPLE}/refresh", params={"dry_run": "true"})
        found = answer.json()
        assert (answer.status_code, found["operation_id"], found["state"]) == (202, None, "succeeded")
        assert "location" not in answer.headers
        assert [item["relative_fileloc"] for item in found["items"]] == [f"{EXAMPLE}.py"]
        assert requests() == []
        assert rest.get("/operations").json()["total_entries"] == 0

    def test_a_repetition_with_the_key_begins_nothing(self, rest):
        key = {"Idempotency-Key": str(uuid4())}
        first, again = (rest.post(f"/dags/{EXAMPLE}/refresh", headers=key) for _ in range(2))
        assert first.json() == again.json()
        assert first.headers["location"] == again.headers["location"]
        assert rest.get("/operations").json()["total_entries"] == 1
        ended(rest, first)

    @pytest.mark.parametrize("params", [{}, {"dry_run": "true"}])
    def test_a_dag_that_is_not_there_is_not_found(self, rest, params):
        answer = rest.post("/dags/no_such_dag/refresh", params=params)
        assert (answer.status_code, answer.json()["dag_id"]) == (404, "no_such_dag")

    @pytest.mark.parametrize("role", ["viewer", "nobody"])
    def test_who_may_not_change_the_dag_may_not_refresh_it(self, rest, role):
        assert rest.post(f"/dags/{EXAMPLE}/refresh", role=role).status_code == 403
        assert requests() == []

    def test_who_may_not_change_the_other_dags_of_the_file_may_not_either(self, asked):
        with pytest.raises(errors.Denied, match="not "):
            asked(dag_refresh.refresh_dag, "manual", dag_ids=["manual"])
        assert requests() == []

    def test_a_dag_of_old_has_no_file(self, rest):
        from airflow.models.dag import DagModel

        of_old = update(DagModel).where(DagModel.dag_id == EXAMPLE).values(relative_fileloc=None)
        write(lambda session: session.execute(of_old))
        answer = rest.post(f"/dags/{EXAMPLE}/refresh")
        assert (answer.status_code, answer.json()["title"]) == (409, "The DAG has no file")


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
class TestRefreshAllDags:
    def test_every_file_is_asked_for_once(self, rest):
        found = ended(rest, rest.post("/dags/refresh"))
        assert found["error"].startswith("No DAG processor is alive; ")
        files = [(item["bundle_name"], item["relative_fileloc"]) for item in found["items"]]
        assert sorted(files) == sorted(set(files)) == sorted(requests())
        assert ("dags-folder", f"{EXAMPLE}.py") in files
        assert found["progress"] == {"done": len(files), "total": len(files)}

    def test_one_at_a_time_for_each_caller(self, rest):
        carrier = Background(KINDS)
        begin = {"files": [], "since": "2026-01-01T00:00:00+00:00", "tells_errors": True, "dag_ids": None}
        first = write(lambda session: carrier.begin(session, dag_refresh.ALL, begin, work.admin()))
        for params in ({}, {"dry_run": "true"}):
            answer = rest.post("/dags/refresh", params=params)
            assert (answer.status_code, answer.json()["operation_id"]) == (409, first)
        assert rest.post("/dags/refresh", params={"dry_run": "true"}, role="op").status_code == 202
        carrier.run(first)
        rest.get(f"/operations/{first}", params={"wait": 20})
        carrier.stop()
        assert rest.post("/dags/refresh", params={"dry_run": "true"}).status_code == 202

    def test_files_with_dags_of_others_are_left_out(self, asked):
        found = asked(dag_refresh.refresh_all_dags, dag_ids=[EXAMPLE, "manual"])
        assert [item["relative_fileloc"] for item in found["items"]] == [f"{EXAMPLE}.py"]

    @pytest.mark.parametrize("role", ["viewer", "nobody"])
    def test_who_may_change_no_dag_may_not_refresh_any(self, rest, role):
        assert rest.post("/dags/refresh", role=role).status_code == 403
