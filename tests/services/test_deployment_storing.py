"""Storing deployments: whatever happens in the middle, the files and what is known of them are the same."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from unittest import mock
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import (
    deployed_paths,
    deployment_following,
    deployment_rows,
    deployment_storing,
)
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.deployments.deployment_expectations import (
    Expectation,
    NoLongerCurrent,
    StillCurrent,
)
from airflow_rest_api.services.deployments.local_publication import LocalPublication
from airflow_rest_api.services.files import durable_file
from airflow_rest_api.storage import tables
from tests.support import deployments
from tests.support.deployments import current, dag_file, found, order, store

pytestmark = pytest.mark.usefixtures("restored_database")


@pytest.fixture
def folder(tmp_path):
    with deployments.bundle_in(tmp_path / "bundle") as folder:
        yield folder


@pytest.fixture
def dag_id():
    return f"trial_{uuid4().hex[:8]}"


class Died(BaseException):
    """The process ended here."""


def claims_run_out():
    then = datetime.now(timezone.utc) - timedelta(seconds=1)
    write(lambda session: session.execute(update(tables.deployed_path).values(held_until=then)))


def holders():
    with reading() as session:
        column = tables.deployed_path.c.holder
        return list(session.scalars(select(column).where(column.is_not(None))))


def is_paused(dag_id):
    from airflow.models.dag import DagModel

    with reading() as session:
        return session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))


def requests():
    from airflow.models.dagbag import DagPriorityParsingRequest as Request

    with reading() as session:
        mine = Request.bundle_name == deployments.BUNDLE
        return set(session.scalars(select(Request.relative_fileloc).where(mine)))


class TestStore:
    def test_the_whole_deployment(self, folder, dag_id):
        content = Content.of_file(dag_file(dag_id))
        answer = store(order("team/etl.py", content, {dag_id: "team/etl.py"}, message="First."))
        (step, stored) = answer["steps"]
        assert answer == {
            "deployment_id": answer["deployment_id"],
            "state": "stored",
            "bundle_name": "trial",
            "path": "team/etl.py",
            "kind": "file",
            "number": 1,
            "sha256": content.sha256,
            "previous_sha256": None,
            "size": len(content.data),
            "dag_ids": [dag_id],
            "message": "First.",
            "deployed_by": "admin",
            "client": "192.0.2.1",
            "created_at": answer["created_at"],
            "ended_at": None,
            "steps": [
                {"state": "checked", "at": step["at"], "seconds": step["seconds"]},
                {"state": "stored", "at": stored["at"], "seconds": stored["seconds"]},
            ],
            "dag_versions": [],
            "errors": [],
            "warnings": [],
            "reference": None,
            "previous_deployment_id": None,
            "rollback_of": None,
            "rolled_back_by": None,
            "superseded_by": None,
            "is_current": True,
        }
        assert (folder / "team/etl.py").read_bytes() == content.data
        assert requests() == {"team/etl.py"}
        assert holders() == []

    def test_a_new_dag_is_paused_before_airflow_can_see_it(self, folder, dag_id, monkeypatch):
        seen = []
        original = LocalPublication.publish

        def publish(self, *args, **options):
            seen.append((is_paused(dag_id), (folder / "etl.py").exists()))
            return original(self, *args, **options)

        monkeypatch.setattr(LocalPublication, "publish", publish)
        store(order("etl.py", Content.of_file(dag_file(dag_id)), {dag_id: "etl.py"}))
        assert seen == [(True, False)]

    def test_numbers_and_predecessors_follow_each_other(self, folder, dag_id):
        contents = [Content.of_file(dag_file(dag_id, number)) for number in range(3)]
        answers = [store(order("etl.py", content, {dag_id: "etl.py"})) for content in contents]
        assert [one["number"] for one in answers] == [1, 2, 3]
        assert [one["previous_deployment_id"] for one in answers] == [
            None,
            *(one["deployment_id"] for one in answers[:2]),
        ]
        assert answers[2]["previous_sha256"] == contents[1].sha256
        states = [found(one["deployment_id"]).state for one in answers]
        assert states == ["superseded", "superseded", "stored"]

    def test_a_deployment_that_was_replaced_before_it_was_live_names_the_newer_one(self, folder, dag_id):
        content = Content.of_file(dag_file(dag_id))
        first = store(order("etl.py", content, {dag_id: "etl.py"}))["deployment_id"]
        second = store(order("etl.py", Content.of_file(dag_file(dag_id, 2)), {dag_id: "etl.py"}))
        row = found(first)
        entry = deployment_rows.entry(row, is_current=False)
        assert (entry["state"], entry["superseded_by"]) == ("superseded", second["deployment_id"])
        assert (entry["errors"], entry["steps"][-1]["state"]) == ([], "superseded")
        assert row.ended_at is not None
        assert second["superseded_by"] is None

    def test_contents_are_kept_for_the_newest_ten(self, folder):
        ids = [
            store(order("notes.py", Content.of_file(b"# %d\n" % number)))["deployment_id"]
            for number in range(deployment_rows.KEPT + 3)
        ]
        with reading() as session:
            kept = [deployment_rows.content_of(session, one) is not None for one in ids]
        assert kept == [False] * 3 + [True] * deployment_rows.KEPT

    def test_a_file_without_dags_is_live_at_once(self, folder):
        answer = store(order("notes.py", Content.of_file(b"# nothing\n")))
        assert answer["state"] == "live"
        assert [step["state"] for step in answer["steps"]] == ["checked", "stored", "parsed", "live"]
        assert answer["ended_at"] is not None


class TestExpectations:
    def test_a_file_that_is_there_is_not_replaced_unasked(self, folder):
        (folder / "etl.py").write_bytes(b"foreign = 1\n")
        with pytest.raises(durable_file.FileExists):
            store(order("etl.py", Content.of_file(b"mine = 1\n")), Expectation())
        assert (folder / "etl.py").read_bytes() == b"foreign = 1\n"
        assert holders() == []

    def test_equal_content_is_no_conflict(self, folder):
        (folder / "etl.py").write_bytes(b"same = 1\n")
        assert store(order("etl.py", Content.of_file(b"same = 1\n")), Expectation())["state"] == "live"

    def test_what_somebody_else_had_put_there_comes_back(self, folder):
        (folder / "etl.py").write_bytes(b"foreign = 1\n")
        first = store(order("etl.py", Content.of_file(b"mine = 1\n")))
        (folder / "etl.py").write_bytes(b"by_hand = 1\n")
        second = store(order("etl.py", Content.of_file(b"mine = 2\n")))
        with reading() as session:
            for answer, data in ((first, b"foreign = 1\n"), (second, b"by_hand = 1\n")):
                row = deployment_rows.read(session, answer["deployment_id"])
                assert deployment_rows.before_of(session, row) == Content.of_file(data)

    def test_only_the_content_that_is_there_can_be_undone(self, folder):
        first = store(order("etl.py", Content.of_file(b"mine = 1\n")))
        second = store(order("etl.py", Content.of_file(b"mine = 2\n")))
        with pytest.raises(NoLongerCurrent):
            store(order("etl.py", None), StillCurrent(first["deployment_id"]))
        (folder / "etl.py").write_bytes(b"by_hand = 1\n")
        with pytest.raises(NoLongerCurrent):
            store(order("etl.py", None), StillCurrent(second["deployment_id"]))
        assert (folder / "etl.py").read_bytes() == b"by_hand = 1\n"

    def test_a_rollback_marks_what_it_undoes(self, folder):
        first = store(order("etl.py", Content.of_file(b"mine = 1\n")))["deployment_id"]
        back = store(order("etl.py", None, rollback_of=first), StillCurrent(first))
        assert not (folder / "etl.py").exists()
        assert (back["state"], back["sha256"], back["rollback_of"]) == ("live", None, first)
        assert (found(first).state, found(first).rolled_back_by) == ("rolled_back", back["deployment_id"])
        assert current("etl.py") == back["deployment_id"]


class TestPlaces:
    def test_places_within_each_other_are_refused(self, folder):
        package = Content.of_files({"etl.py": b"", "lib.py": b""})
        store(order("team/pack", package))
        with pytest.raises(deployed_paths.PlacesOverlap, match="'team/pack'"):
            store(order("team/pack/etl.py", Content.of_file(b"x = 1\n")))
        store(order("other/etl.py", Content.of_file(b"x = 1\n")))
        with pytest.raises(deployed_paths.PlacesOverlap):
            store(order("other", package))
        store(order("team/pack2.py", Content.of_file(b"x = 1\n")))
        store(order("team/pac%", package))

    def test_a_place_that_is_held_is_waited_for_and_then_refused(self, folder, monkeypatch):
        monkeypatch.setattr(deployed_paths, "PATIENCE_SECONDS", 0.3)
        with deployed_paths.claimed(Place("trial", "team"), "somebody", lambda *_: None):
            with pytest.raises(deployed_paths.DeploymentInProgress) as refused:
                store(order("team/etl.py", Content.of_file(b"x = 1\n")))
            assert refused.value.retry_after == 2
            store(order("teams.py", Content.of_file(b"x = 1\n")))
        store(order("team/etl.py", Content.of_file(b"x = 1\n")))

    def test_a_claim_lasts_as_long_as_the_work(self, folder, monkeypatch):
        monkeypatch.setattr(deployed_paths, "LEASE", timedelta(seconds=0.5))
        monkeypatch.setattr(deployed_paths, "RENEW_SECONDS", 0.1)
        with deployed_paths.claimed(Place("trial", "etl.py"), "somebody", lambda *_: None) as claim:
            time.sleep(1)
            claim.verify()
        with pytest.raises(deployed_paths.ClaimLost):
            claim.verify()

    def test_many_at_once_take_turns(self, folder):
        answers, refusals = [], []

        def one(number):
            try:
                answers.append(store(order("etl.py", Content.of_file(b"x = %d\n" % number))))
            except errors.Conflict as refusal:
                refusals.append(refusal)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) + len(refusals) == 8
        by_number = sorted(answers, key=lambda answer: answer["number"])
        assert [one["number"] for one in by_number] == list(range(1, len(answers) + 1))
        befores = [one["previous_sha256"] for one in by_number]
        assert befores == [None, *(one["sha256"] for one in by_number[:-1])]
        assert LocalPublication(folder).read("etl.py").sha256 == by_number[-1]["sha256"]


class TestAfterADeath:
    def test_before_the_files_were_touched_nothing_has_happened(self, folder, dag_id, monkeypatch):
        new = str(uuid4())
        with monkeypatch.context() as patch:
            patch.setattr(deployed_paths, "give_back", lambda _: None)
            patch.setattr(LocalPublication, "publish", self.death)
            with pytest.raises(Died):
                store(
                    order("etl.py", Content.of_file(dag_file(dag_id)), {dag_id: "etl.py"}), deployment_id=new
                )
        assert found(new).state == "checked"
        assert deployment_following.Following().look() is True
        assert found(new).state == "checked", "the claim still holds"
        claims_run_out()
        deployment_following.Following().look()
        assert (found(new).state, found(new).errors[0]["kind"]) == ("failed", "lost")
        assert holders() == []
        assert is_paused(dag_id) is None
        assert store(order("etl.py", Content.of_file(dag_file(dag_id))))["number"] == 2

    def test_after_the_files_were_changed_it_is_stored(self, folder, dag_id, monkeypatch):
        new, content = str(uuid4()), Content.of_file(dag_file(dag_id))
        with monkeypatch.context() as patch:
            patch.setattr(deployed_paths, "give_back", lambda _: None)
            patch.setattr(deployment_storing, "_stored", self.death)
            with pytest.raises(Died):
                store(order("etl.py", content, {dag_id: "etl.py"}), deployment_id=new)
        claims_run_out()
        second = store(order("etl.py", Content.of_file(b"x = 1\n")))
        assert second["previous_deployment_id"] == new
        assert second["previous_sha256"] == content.sha256
        assert [step["state"] for step in found(new).steps] == ["checked", "stored", "superseded"]

    def test_between_two_renames_the_folder_comes_back(self, folder, monkeypatch):
        old, new = Content.of_files({"a.py": b"1"}), Content.of_files({"a.py": b"2"})
        store(order("pack", old))
        from airflow_rest_api.services.deployments import local_publication

        def halfway(_, place, aside):
            place.rename(aside)
            raise Died

        died = str(uuid4())
        with monkeypatch.context() as patch:
            patch.setattr(deployed_paths, "give_back", lambda _: None)
            patch.setattr(local_publication, "exchange", halfway)
            with pytest.raises(Died):
                store(order("pack", new), deployment_id=died)
        assert not (folder / "pack").exists()
        claims_run_out()
        deployment_following.Following().look()
        assert found(died).state == "failed"
        assert LocalPublication(folder).read("pack") == old

    def test_whose_claim_ran_out_changes_nothing(self, folder, monkeypatch):
        original = LocalPublication.publish

        def late(self, *args, **options):
            claims_run_out()
            return original(self, *args, **options)

        store(order("etl.py", Content.of_file(b"x = 1\n")))
        monkeypatch.setattr(LocalPublication, "publish", late)
        with pytest.raises(deployed_paths.ClaimLost):
            store(order("etl.py", Content.of_file(b"x = 2\n")))
        assert (folder / "etl.py").read_bytes() == b"x = 1\n"

    def test_a_refusal_of_the_disk_leaves_no_trace(self, folder, dag_id, monkeypatch):
        def full(*_, **__):
            raise errors.InsufficientStorage("There is no room.")

        monkeypatch.setattr(LocalPublication, "publish", full)
        new = str(uuid4())
        with pytest.raises(errors.InsufficientStorage):
            store(order("etl.py", Content.of_file(dag_file(dag_id)), {dag_id: "etl.py"}), deployment_id=new)
        assert found(new) is None
        assert is_paused(dag_id) is None
        assert holders() == []

    @staticmethod
    def death(*_, **__):
        raise Died


def test_a_dag_that_is_deleted_with_its_file_waits_for_its_deployment_and_ends_it(
    folder, dag_id, monkeypatch
):
    from airflow_rest_api.services.dags import dag_deletion
    from tests.support import parser

    admin, precondition = mock.Mock(), mock.Mock()
    new = store(order("etl.py", Content.of_file(dag_file(dag_id)), {dag_id: "etl.py"}))["deployment_id"]
    parser.parse(folder, "etl.py", 0.0, deployments.BUNDLE)
    options = {"delete_file": True, "precondition": precondition, "caller": admin}
    with deployed_paths.claimed(Place("trial", "etl.py"), "somebody", lambda *_: None):
        monkeypatch.setattr(deployed_paths, "PATIENCE_SECONDS", 0.2)
        with pytest.raises(deployed_paths.DeploymentInProgress):
            dag_deletion.delete_dag(dag_id, **options)
    assert (folder / "etl.py").exists()
    dag_deletion.delete_dag(dag_id, **options)
    assert not (folder / "etl.py").exists()
    assert current("etl.py") is None
    with pytest.raises(NoLongerCurrent):
        store(order("etl.py", None), StillCurrent(new))
    assert holders() == []
