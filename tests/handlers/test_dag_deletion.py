"""Deleting DAGs: as Airflow's `/api/v2` does it, and with the file."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from sqlalchemy import select, update

from airflow_rest_api.security import access
from airflow_rest_api.security.switches import Switches, SwitchOff
from airflow_rest_api.services import errors
from airflow_rest_api.services.dags import dag_deletion
from airflow_rest_api.services.dags.dag_deletion import DagIsRunning, FileNotRemovable
from airflow_rest_api.services.database import reading, write
from tests.support import parser, work
from tests.support.dag_runs import of_type
from tests.support.processor import source

EXAMPLE = "example_bash_operator"
LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"


def rows():
    """How many rows of each of Airflow's tables speak of the DAG, but for the event log."""
    from airflow.models.log import Log
    from airflow.utils.db import get_sqla_model_classes
    from sqlalchemy import func

    models = [one for one in get_sqla_model_classes() if hasattr(one, "dag_id") and one is not Log]
    with reading() as session:
        counts = {
            one.__tablename__: session.scalar(
                select(func.count()).select_from(one).where(one.dag_id == EXAMPLE)
            )
            for one in models
        }
    return {name: count for name, count in counts.items() if count}


def phases():
    from airflow.models.log import Log

    told = select(Log.extra).where(Log.dag_id == EXAMPLE, Log.event == "delete_dag").order_by(Log.id)
    with reading() as session:
        return [json.loads(extra)["phase"] for extra in session.scalars(told)]


@pytest.mark.usefixtures("restored_database")
class TestDeleteDag:
    @pytest.mark.in_process
    def test_all_that_airflow_knows_is_gone_but_for_the_event_log(self, rest):
        assert {"dag", "dag_run", "task_instance", "dag_version"} <= rows().keys()
        answer = rest.delete(f"/dags/{EXAMPLE}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert rows() == {}
        assert phases() == ["intent", "outcome"]

    def test_as_airflow_does_it(self, v2, rest):
        assert [client.delete("/dags/manual").status_code for client in (rest, v2)] == [204, 404]
        assert [client.delete("/dags/manual_paused").status_code for client in (v2, rest)] == [204, 404]

    def test_a_dag_that_is_not_there_is_not_found(self, parity):
        ours, _ = parity("DELETE", "/dags/no_such_dag")
        of_type(ours, "dag-not-found")

    def test_a_dag_of_which_tasks_run_is_not_deleted(self, parity, new_run):
        run = new_run("manual", state="running", task_states={"first": "running"})
        ours, _ = parity("DELETE", "/dags/manual")
        assert ours.status_code == 409
        of_type(ours, "dag-is-running")
        assert run.dag_id in ours.json()["detail"]

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_not_delete(self, parity, role):
        ours, _ = parity("DELETE", f"/dags/{EXAMPLE}", role=role)
        assert ours.status_code in (401, 403)

    def test_who_may_change_dags_may_delete_them(self, rest):
        assert rest.delete(f"/dags/{EXAMPLE}", role="user").status_code == 204

    def test_it_is_done_in_the_state_that_the_caller_has_seen(self, rest):
        tag = {"If-Match": rest.get(f"/dags/{EXAMPLE}").headers["etag"]}
        rest.patch(f"/dags/{EXAMPLE}", json={"is_paused": False})
        answer = rest.delete(f"/dags/{EXAMPLE}", headers=tag)
        assert answer.status_code == 412
        tag = {"If-Match": rest.get(f"/dags/{EXAMPLE}").headers["etag"]}
        assert rest.delete(f"/dags/{EXAMPLE}", headers=tag).status_code == 204

    def test_the_file_is_left_to_a_switch(self, rest):
        answer = rest.delete(f"/dags/{EXAMPLE}", params={"delete_file": "true"})
        assert (answer.status_code, answer.json()["switch"]) == (403, "deploy_enabled")
        assert rest.get(f"/dags/{EXAMPLE}").status_code == 200


class Anything:
    """Expects nothing of the state."""

    def __bool__(self):
        return False

    def require(self, columns):
        pass


ANYTHING = Anything()


@pytest.fixture
def folder(tmp_path, restored_database, monkeypatch):
    """The folder of a bundle `deletions`, with the file of the DAG `doomed`, which Airflow has parsed."""
    from airflow.models.dagbundle import DagBundleModel

    set_bundles(monkeypatch, {"name": "deletions", "classpath": LOCAL, "kwargs": {"path": str(tmp_path)}})
    write(lambda session: session.add(DagBundleModel(name="deletions")))
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "file.py").write_text(source("doomed"))
    parser.parse(tmp_path, "team/file.py", 0.5)
    set_dag(bundle_name="deletions")
    return tmp_path


def set_bundles(monkeypatch, *entries):
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(entries))


def set_dag(dag_id="doomed", **values):
    from airflow.models.dag import DagModel

    write(lambda session: session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(values)))


def delete(dag_id="doomed", role="admin", on=("deploy_enabled",), precondition=ANYTHING):
    user = work.admin().user if role == "admin" else access.auth_manager.user_by_name(role)
    caller = access.caller_of(user, switches=Switches(frozenset(on)))
    dag_deletion.delete_dag(dag_id, delete_file=True, precondition=precondition, caller=caller)


def is_known(dag_id="doomed"):
    from airflow.models.dag import DagModel

    with reading() as session:
        return session.scalar(select(DagModel.dag_id).where(DagModel.dag_id == dag_id)) is not None


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.in_process
class TestWithTheFile:
    def test_both_are_gone(self, folder):
        (folder / "team" / "other.py").write_text("")
        delete()
        assert (is_known(), files(folder)) == (False, ["team/other.py"])

    def test_a_file_that_is_away_already_is_no_hindrance(self, folder):
        (folder / "team" / "file.py").unlink()
        delete()
        assert not is_known()

    @pytest.mark.parametrize(("role", "on"), [("admin", ()), ("op", ("deploy_enabled",))])
    def test_it_takes_the_switch_and_the_power(self, folder, role, on):
        with pytest.raises(SwitchOff if not on else errors.Denied):
            delete(role=role, on=on)
        self.assert_untouched(folder)

    @staticmethod
    def assert_untouched(folder):
        assert is_known()
        assert "team/file.py" in files(folder)
        assert (folder / "team" / "file.py").read_text() == source("doomed")
        assert not [name for name in files(folder) if name.endswith(".tmp")]

    def test_while_tasks_run_both_stay(self, folder, new_run):
        set_dag("manual", bundle_name="deletions", relative_fileloc="manual.py")
        (folder / "manual.py").write_text("here")
        new_run("manual", state="running", task_states={"first": "running"})
        with pytest.raises(DagIsRunning):
            delete("manual")
        assert is_known("manual")
        assert (folder / "manual.py").read_text() == "here"

    def test_in_another_state_both_stay(self, folder):
        class Other(Anything):
            def require(self, columns):
                raise errors.PreconditionFailed("changed")

        with pytest.raises(errors.PreconditionFailed):
            delete(precondition=Other())
        self.assert_untouched(folder)

    def test_a_file_with_further_dags_stays(self, folder):
        parser_file = folder / "team" / "file.py"
        parser_file.write_text(source("doomed") + source("second"))
        parser.parse(folder, "team/file.py", 0.5)
        for dag_id in ("doomed", "second"):
            set_dag(dag_id, bundle_name="deletions")
        with pytest.raises(FileNotRemovable, match="it holds further DAGs \\('second'\\)") as raised:
            delete()
        assert raised.value.members["dag_ids"] == ["second"]
        assert (is_known(), parser_file.exists()) == (True, True)
        set_dag("second", is_stale=True, has_import_errors=False)
        delete()
        assert not parser_file.exists()

    def test_a_broken_file_holds_what_it_held(self, folder):
        set_dag("manual", bundle_name="deletions", relative_fileloc="team/file.py")
        set_dag("manual", is_stale=True, has_import_errors=True)
        with pytest.raises(FileNotRemovable, match="'manual'"):
            delete()

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (None, "Airflow has no bundle 'deletions' any more"),
            (
                {"classpath": LOCAL, "kwargs": {"path": "/no/such/folder"}},
                "of the bundle 'deletions' its folder does not exist on this machine",
            ),
            (
                {"classpath": "tests.services.test_bundles.FetchedDagBundle", "kwargs": {}},
                "the bundle 'deletions' is no local folder but of the kind FetchedDagBundle",
            ),
        ],
    )
    def test_a_bundle_that_cannot_be_written_to_says_why(self, folder, monkeypatch, entry, reason):
        set_bundles(monkeypatch, *([{"name": "deletions", **entry}] if entry else []))
        with pytest.raises(FileNotRemovable) as raised:
            delete()
        assert reason in raised.value.detail
        assert "/" not in raised.value.detail
        self.assert_untouched(folder)

    def test_a_dag_of_old_has_no_file(self, folder):
        set_dag(relative_fileloc=None)
        with pytest.raises(FileNotRemovable, match="does not know where"):
            delete()

    def test_a_dag_that_is_not_there_is_not_found(self, folder):
        with pytest.raises(errors.DagNotFound):
            delete("no_such_dag")

    @pytest.mark.parametrize("place", ["../outside.py", "/etc/hostname", "linked/file.py", "link.py", "team"])
    def test_no_way_leads_out_of_the_bundle(self, folder, tmp_path_factory, place):
        outside = tmp_path_factory.mktemp("outside")
        (outside / "file.py").write_text("keep me")
        (folder.parent / "outside.py").write_text("keep me")
        (folder / "linked").symlink_to(outside)
        (folder / "link.py").symlink_to(outside / "file.py")
        set_dag(relative_fileloc=place)
        with pytest.raises(FileNotRemovable, match="no plain file"):
            delete()
        assert (outside / "file.py").read_text() == (folder.parent / "outside.py").read_text() == "keep me"
        assert (is_known(), (folder / "link.py").is_symlink()) == (True, True)

    def test_a_file_that_the_disk_does_not_give_up_is_told(self, folder, monkeypatch):
        def refuse(*_):
            raise errors.Conflict("the disk says no")

        monkeypatch.setattr(dag_deletion.durable_file, "remove", refuse)
        with pytest.raises(dag_deletion.FileLeft, match="it comes back"):
            delete()
        assert not is_known()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written_to_says_so(self, folder):
        (folder / "team").chmod(0o555)
        with pytest.raises(FileNotRemovable, match="cannot be written to"):
            delete()
        self.assert_untouched(folder)

    def test_the_archive_of_its_only_dag_goes(self, folder):
        (folder / "packed.zip").write_bytes(b"PK")
        set_dag(relative_fileloc="packed.zip/inside.py")
        delete()
        assert files(folder) == ["team/file.py"]

    def test_a_parse_that_goes_on_does_not_bring_it_back(self, folder, monkeypatch):
        from airflow.jobs.job import Job

        def put(session):
            session.add(job := Job(job_type="DagProcessorJob", state="running"))
            job.latest_heartbeat = datetime.now(timezone.utc)

        write(put)
        set_dag(last_parse_duration=3.0)
        copy = folder / "copy"
        (copy / "team").mkdir(parents=True)
        (copy / "team" / "file.py").write_text(source("doomed"))

        with ThreadPoolExecutor() as pool:
            deleting = pool.submit(delete)
            time.sleep(0.5)
            # It had begun before.
            parser.parse(copy, "team/file.py", 1.0)
            deleting.result()
        assert not is_known()


@pytest.mark.in_process
@pytest.mark.xdist_group("processor")
@pytest.mark.timeout(300)
class TestWithADagProcessor:
    def test_with_its_file_it_does_not_come_back(self, life):
        file = life.write("deep/doomed.py", source("doomed"))
        refresh(life)
        until(lambda: life.rest.get("/dags/doomed").status_code == 200)
        # So that it is parsed while it is deleted.
        life.rest.post("/dags/doomed/refresh")
        assert life.rest.delete("/dags/doomed", params={"delete_file": "true"}).status_code == 204
        assert not file.exists()
        refresh(life)
        time.sleep(1)
        assert life.rest.get("/dags/doomed").status_code == 404


def refresh(life):
    answer = life.rest.post("/dags/changing/refresh")
    assert life.ended(answer.json()["operation_id"])["state"] == "succeeded"


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
