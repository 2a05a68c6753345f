"""Following deployments: what the DAG processor writes decides what becomes of them; here the tests write it."""

from __future__ import annotations

import importlib
import sys
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from airflow_rest_api.sandbox import packages
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import deployment_following, deployment_rows, deployment_undoing
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.deployments.local_publication import LocalPublication
from airflow_rest_api.storage.tables import deployment as table
from tests.support import deployments, parser
from tests.support.deployments import current, dag_file, found, order, store

pytestmark = pytest.mark.usefixtures("restored_database")

BROKEN = b"from airflow.sdk import DAG  # dag\nraise RuntimeError('only here')\n"


@pytest.fixture
def folder(tmp_path):
    with deployments.bundle_in(tmp_path / "bundle") as folder:
        yield folder


@pytest.fixture
def dag_id():
    return f"trial_{uuid4().hex[:8]}"


@pytest.fixture
def parse(folder):
    """`parse("etl.py")`: the DAG processor parses a file that it has begun with after everything so far."""

    def parse(path, seconds=0.0):
        time.sleep(0.01)
        # Airflow parses each file in a process of its own, which knows nothing of other packages.
        sys.modules.pop("names", None)
        importlib.invalidate_caches()
        parser.parse(folder, path, seconds, deployments.BUNDLE)

    return parse


def deployed(dag_id, value=1, path="etl.py", **options):
    content = Content.of_file(dag_file(dag_id, value))
    return store(order(path, content, {dag_id: path}, **options))["deployment_id"]


def look():
    """Look twice: what is asked again is seen at the next look."""
    following = Following()
    following.look()
    following.look()


def stale_by(deployment_id, seconds):
    """Let a deployment have begun to wait so much earlier."""
    row, earlier = found(deployment_id), timedelta(seconds=seconds)
    values = {"stored_at": row.stored_at - earlier, "asked_at": row.asked_at - earlier}
    write(lambda session: session.execute(update(table).where(table.c.id == deployment_id).values(**values)))


def of_dag(dag_id, *names):
    from airflow.models.dag import DagModel

    with reading() as session:
        columns = (getattr(DagModel, name) for name in names)
        return tuple(session.execute(select(*columns).where(DagModel.dag_id == dag_id)).one())


def tasks_of(dag_id):
    from airflow.models.dagbag import DBDagBag

    with reading() as session:
        return DBDagBag(load_op_links=False).get_latest_version_of_dag(dag_id, session=session).task_ids


class TestLive:
    def test_it_is_live_when_airflow_serves_it(self, folder, dag_id, parse):
        new = deployed(dag_id)
        look()
        assert found(new).state == "stored"
        parse("etl.py")
        look()
        row = found(new)
        assert row.state == "live"
        assert [step["state"] for step in row.steps] == ["checked", "stored", "parsed", "live"]
        assert row.dag_versions == [{"dag_id": dag_id, "version_number": 1}]
        assert of_dag(dag_id, "is_paused", "is_stale") == (True, False)
        assert row.ended_at is not None

    def test_a_new_version_is_served_though_the_last_one_was_written_a_moment_ago(
        self, folder, dag_id, parse
    ):
        """Airflow writes a DAG at most every 30 seconds; that must not be waited for."""
        deployed(dag_id)
        parse("etl.py")
        look()
        second = store(order("etl.py", Content.of_file(dag_file(dag_id, task="other")), {dag_id: "etl.py"}))
        parse("etl.py")
        look()
        assert found(second["deployment_id"]).state == "live"
        assert tasks_of(dag_id) == ["other"]

    def test_a_parse_that_had_begun_before_counts_for_nothing(self, folder, dag_id, parse):
        deployed(dag_id)
        parse("etl.py")
        look()
        second = deployed(dag_id, value=2)
        parse("etl.py", seconds=60.0)
        look()
        assert found(second).state == "stored"
        parse("etl.py")
        look()
        assert found(second).state == "live"

    def test_equal_content_is_live_at_once(self, folder, dag_id, parse):
        deployed(dag_id)
        parse("etl.py")
        look()
        again = deployed(dag_id)
        row = found(again)
        assert (row.state, row.dag_versions) == ("live", [{"dag_id": dag_id, "version_number": 1}])

    def test_equal_content_that_is_not_served_is_waited_for(self, folder, dag_id, parse):
        deployed(dag_id)
        again = deployed(dag_id)
        assert found(again).state == "stored"
        parse("etl.py")
        look()
        assert found(again).state == "live"

    @pytest.mark.parametrize(("option", "paused"), [("unpause", False), ("pause", True)])
    def test_dags_are_paused_or_not_when_it_is_live(self, folder, dag_id, parse, option, paused):
        deployed(dag_id)
        parse("etl.py")
        from airflow.models.dag import DagModel

        mine = update(DagModel).where(DagModel.dag_id == dag_id)
        write(lambda session: session.execute(mine.values(is_paused=not paused)))
        look()
        second = deployed(dag_id, value=2, **{option: True})
        assert of_dag(dag_id, "is_paused") == (not paused,)
        parse("etl.py")
        look()
        assert found(second).state == "live"
        assert of_dag(dag_id, "is_paused") == (paused,)

    def test_a_folder_is_live_when_all_of_its_dags_are(self, folder, dag_id, parse):
        dags = {f"{dag_id}_1": "pack/one.py", f"{dag_id}_2": "pack/two.py"}
        files = {path.removeprefix("pack/"): dag_file(one) for one, path in dags.items()}
        new = store(order("pack", Content.of_files(files), dags))["deployment_id"]
        parse("pack/one.py")
        look()
        assert found(new).state == "stored"
        parse("pack/two.py")
        look()
        assert found(new).state == "live"

    def test_a_renamed_dag_id_is_stale_when_it_is_live(self, folder, dag_id, parse):
        deployed(dag_id)
        parse("etl.py")
        look()
        renamed = f"{dag_id}_renamed"
        new = store(order("etl.py", Content.of_file(dag_file(renamed)), {renamed: "etl.py"}))
        look()
        assert of_dag(dag_id, "is_stale") == (False,), "still served"
        parse("etl.py")
        look()
        assert found(new["deployment_id"]).state == "live"
        assert of_dag(dag_id, "is_stale") == (True,)
        assert of_dag(renamed, "is_stale") == (False,)

    def test_a_rollback_retires_the_ids_that_it_undoes(self, folder, dag_id, parse):
        for one in (dag_id, renamed := f"{dag_id}_renamed"):
            new = deployed(one)
            parse("etl.py")
            look()
        content = Content.of_file(dag_file(dag_id))
        back = store(order("etl.py", content, {dag_id: "etl.py"}, rollback_of=new))
        parse("etl.py")
        look()
        assert found(back["deployment_id"]).state == "live"
        assert (of_dag(dag_id, "is_stale"), of_dag(renamed, "is_stale")) == ((False,), (True,))

    def test_ids_of_files_that_a_folder_lost_are_stale_when_it_is_live(self, folder, dag_id, parse):
        dags = {f"{dag_id}_1": "pack/one.py", f"{dag_id}_2": "pack/two.py"}
        files = {path.removeprefix("pack/"): dag_file(one) for one, path in dags.items()}
        store(order("pack", Content.of_files(files), dags))
        for path in dags.values():
            parse(path)
        look()
        kept = {"one.py": dag_file(f"{dag_id}_1", 2)}
        new = store(order("pack", Content.of_files(kept), {f"{dag_id}_1": "pack/one.py"}))
        parse("pack/one.py")
        look()
        assert found(new["deployment_id"]).state == "live"
        assert of_dag(f"{dag_id}_1", "is_stale") == (False,)
        assert of_dag(f"{dag_id}_2", "is_stale") == (True,)

    def test_ids_are_stale_when_a_file_without_dags_replaces_theirs(self, folder, dag_id, parse):
        deployed(dag_id)
        parse("etl.py")
        look()
        new = store(order("etl.py", Content.of_file(b"# no DAG any more\n")))
        assert new["state"] == "live"
        assert of_dag(dag_id, "is_stale") == (True,)

    def test_a_dag_that_only_airflow_finds_is_not_retired(self, folder, dag_id, parse):
        """The sandbox does not know the environment on which a file may make its DAGs depend."""
        both = dag_file(dag_id) + dag_file(f"{dag_id}_2")
        new = store(order("etl.py", Content.of_file(both), {dag_id: "etl.py"}))["deployment_id"]
        parse("etl.py")
        look()
        assert found(new).state == "live"
        assert of_dag(f"{dag_id}_2", "is_stale") == (False,)

    def test_what_was_removed_is_gone_when_airflow_says_so(self, folder, dag_id, parse):
        deployed(dag_id)
        parse("etl.py")
        look()
        removed = store(order("etl.py", None))["deployment_id"]
        look()
        assert found(removed).state == "stored"
        from airflow.models.dag import DagModel

        mine = update(DagModel).where(DagModel.dag_id == dag_id)
        write(lambda session: session.execute(mine.values(is_stale=True)))
        look()
        assert found(removed).state == "live"


PACKAGED = b"""\
import names
from airflow.sdk import DAG

dag = DAG(names.NAME, schedule=None)
"""


def package(name, **further):
    """The content of a packaged DAG, which has its id from another module of the package."""
    return Content.of_file(
        packages.packed({"etl.py": PACKAGED, "names.py": f"NAME = {name!r}".encode(), **further})
    )


class TestPackages:
    def test_packages_with_modules_of_the_same_name_are_live(self, folder, dag_id, parse):
        names = {f"{dag_id}_{number}": f"team/pack_{number}.zip" for number in range(2)}
        new = [store(order(path, package(name), {name: f"{path}/etl.py"})) for name, path in names.items()]
        look()
        assert [found(one["deployment_id"]).state for one in new] == ["stored", "stored"]
        for path in names.values():
            parse(path)
        look()
        assert [found(one["deployment_id"]).state for one in new] == ["live", "live"]
        assert of_dag(f"{dag_id}_0", "relative_fileloc") == ("team/pack_0.zip/etl.py",)

    def test_the_package_is_asked_for_and_not_the_module_in_it(self, folder, dag_id):
        from airflow.models.dagbag import DagPriorityParsingRequest as Request

        store(order("pack.zip", package(dag_id), {dag_id: "pack.zip/etl.py"}))
        with reading() as session:
            assert session.scalars(select(Request.relative_fileloc)).all() == ["pack.zip"]

    def test_a_package_that_airflow_cannot_import_is_taken_back(self, folder, dag_id, parse):
        first = store(order("pack.zip", package(dag_id), {dag_id: "pack.zip/etl.py"}))["deployment_id"]
        parse("pack.zip")
        look()
        broken = package(dag_id, **{"other.py": BROKEN})
        new = store(order("pack.zip", broken, {dag_id: "pack.zip/etl.py"}))["deployment_id"]
        parse("pack.zip")
        look()
        assert (found(first).state, found(new).state) == ("live", "rolled_back")
        assert found(new).errors[0]["message"] == "RuntimeError: only here"
        assert LocalPublication(folder).read("pack.zip") == package(dag_id)

    def test_a_renamed_dag_of_a_package_is_stale(self, folder, dag_id, parse):
        for name in (dag_id, f"{dag_id}_renamed"):
            new = store(order("pack.zip", package(name), {name: "pack.zip/etl.py"}))["deployment_id"]
            parse("pack.zip")
            look()
            assert found(new).state == "live"
        assert of_dag(dag_id, "is_stale") == (True,)


class TestBroken:
    def test_the_content_from_before_comes_back(self, folder, dag_id, parse):
        first = deployed(dag_id)
        parse("etl.py")
        look()
        broken = store(order("etl.py", Content.of_file(BROKEN), {dag_id: "etl.py"}))["deployment_id"]
        parse("etl.py")
        look()
        row = found(broken)
        assert row.state == "rolled_back"
        assert [step["state"] for step in row.steps] == ["checked", "stored", "rolled_back"]
        (error,) = row.errors
        assert (error["kind"], error["path"]) == ("import", "etl.py")
        assert error["message"] == "RuntimeError: only here"
        assert (folder / "etl.py").read_bytes() == dag_file(dag_id)
        assert current("etl.py") == first
        parse("etl.py")
        assert of_dag(dag_id, "is_stale", "has_import_errors") == (False, False)

    def test_ids_that_the_undone_content_brought_are_stale(self, folder, dag_id, parse):
        dags = {f"{dag_id}_1": "pack/one.py", f"{dag_id}_2": "pack/two.py"}
        files = {"one.py": dag_file(f"{dag_id}_1"), "two.py": BROKEN}
        new = store(order("pack", Content.of_files(files), dags))["deployment_id"]
        parse("pack/one.py")
        parse("pack/two.py")
        look()
        assert found(new).state == "rolled_back"
        assert of_dag(f"{dag_id}_1", "is_stale") == (True,)

    def test_a_first_deployment_is_removed(self, folder, dag_id, parse):
        broken = store(order("etl.py", Content.of_file(BROKEN), {dag_id: "etl.py"}))["deployment_id"]
        parse("etl.py")
        look()
        assert found(broken).state == "rolled_back"
        assert not (folder / "etl.py").exists()
        assert current("etl.py") is None

    def test_it_stays_where_that_was_asked_for(self, folder, dag_id, parse):
        options = {"keep_on_error": True}
        broken = store(order("etl.py", Content.of_file(BROKEN), {dag_id: "etl.py"}, **options))
        parse("etl.py")
        look()
        row = found(broken["deployment_id"])
        assert (row.state, row.errors[0]["kind"]) == ("failed", "import")
        assert (folder / "etl.py").read_bytes() == BROKEN

    def test_an_error_of_the_content_from_before_is_not_taken_for_its_own(self, folder, dag_id, parse):
        (folder / "etl.py").write_bytes(BROKEN)
        self.know_bundle()
        parse("etl.py")
        good = deployed(dag_id)
        self.late_error(folder)
        look()
        assert found(good).state == "stored"
        parse("etl.py")
        look()
        assert found(good).state == "live"

    def test_a_dag_that_is_not_found_is_an_error(self, folder, dag_id, parse):
        content = Content.of_file(dag_file(dag_id))
        new = store(order("etl.py", content, {dag_id: "etl.py", f"{dag_id}_2": "etl.py"}))["deployment_id"]
        parse("etl.py")
        Following().look()
        assert found(new).state != "rolled_back", "one look does not tell"
        stale_asked = found(new).asked_at - timedelta(seconds=5)
        write(
            lambda session: session.execute(
                update(table).where(table.c.id == new).values(asked_at=stale_asked)
            )
        )
        look()
        assert (found(new).state, found(new).errors[0]["kind"]) == ("rolled_back", "dag_missing")

    def test_who_changed_the_file_by_hand_keeps_it(self, folder, dag_id, parse):
        broken = store(order("etl.py", Content.of_file(BROKEN), {dag_id: "etl.py"}))["deployment_id"]
        parse("etl.py")
        (folder / "etl.py").write_bytes(b"by_hand = 1\n")
        look()
        row = found(broken)
        assert (row.state, [error["kind"] for error in row.errors]) == (
            "failed",
            ["import", "not_rolled_back"],
        )
        assert (folder / "etl.py").read_bytes() == b"by_hand = 1\n"

    def test_who_dies_while_undoing_is_followed_by_another(self, folder, dag_id, parse, monkeypatch):
        deployed(dag_id)
        parse("etl.py")
        look()
        broken = store(order("etl.py", Content.of_file(BROKEN), {dag_id: "etl.py"}))["deployment_id"]
        parse("etl.py")

        def death(*_, **__):
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(deployment_undoing, "_undone", death)
            Following().look()
        assert LocalPublication(folder).read("etl.py").data == dag_file(dag_id)
        assert found(broken).state == "stored"
        parse("etl.py")
        look()
        assert found(broken).state == "rolled_back"

    def know_bundle(self):
        from airflow.models.dagbundle import DagBundleModel

        write(lambda session: session.add(DagBundleModel(name=deployments.BUNDLE)))

    def late_error(self, folder):
        """The parse of the broken content, which had begun before, ends now."""
        from airflow.models.errors import ParseImportError

        moment = found_now()
        write(lambda session: session.execute(update(ParseImportError).values(timestamp=moment)))


def found_now():
    from airflow_rest_api.services.deployments.deployment_following import _now

    return _now()


class TestGivingUp:
    def test_without_a_dag_processor(self, folder, dag_id):
        new = deployed(dag_id)
        stale_by(new, 20)
        look()
        row = found(new)
        assert (row.state, row.errors[0]["kind"]) == ("failed", "processor")
        assert (folder / "etl.py").exists()

    def test_when_nothing_was_seen_for_long(self, folder, dag_id, monkeypatch):
        new = deployed(dag_id)
        monkeypatch.setattr(deployment_following.parsing, "is_processor_alive", lambda _: True)
        stale_by(new, 60)
        look()
        assert found(new).state == "stored"
        stale_by(new, 600)
        look()
        assert (found(new).state, found(new).errors[0]["kind"]) == ("failed", "timeout")

    def test_a_request_that_was_dropped_is_made_again(self, folder, dag_id, monkeypatch):
        from airflow.models.dagbag import DagPriorityParsingRequest as Request

        new = deployed(dag_id)
        write(lambda session: session.query(Request).delete())
        monkeypatch.setattr(deployment_following.parsing, "is_processor_alive", lambda _: True)
        stale_by(new, 11)
        look()
        with reading() as session:
            assert session.scalars(select(Request.relative_fileloc)).all() == ["etl.py"]

    def test_one_look_after_another_changes_an_end_no_more(self, folder, dag_id, parse):
        new = deployed(dag_id)
        parse("etl.py")
        look()
        before = found(new)
        assert Following().look() is False
        assert found(new) == before


class TestThread:
    def test_it_follows_what_it_is_told_of_and_stops(self, folder, dag_id, parse):
        following = Following()
        new = deployed(dag_id)
        following.run()
        thread = following._thread
        parse("etl.py")
        try:
            deadline = time.monotonic() + 10
            while found(new).state not in deployment_rows.TERMINAL and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            following.stop()
        assert found(new).state == "live"
        assert not thread.is_alive()

    def test_a_fault_is_counted_and_stops_nobody_else(self, folder, dag_id, parse, monkeypatch):
        faults = []
        bad, good = deployed(dag_id), deployed(f"{dag_id}_2", path="two.py")
        parse("two.py")
        original = deployment_following.follow

        def follow(row):
            if row.id == bad:
                raise RuntimeError
            original(row)

        monkeypatch.setattr(deployment_following, "follow", follow)
        Following(lambda: faults.append(1)).look()
        assert faults == [1]
        assert found(good).state == "live"


def test_a_deployment_at_which_something_failed_is_left_alone_for_a_while(dag_id, folder, monkeypatch):
    deployed(dag_id)
    looks, faults = [], []

    def fail(row):
        looks.append(row.id)
        raise ConnectionError("the repository is away")

    monkeypatch.setattr(deployment_following, "follow", fail)
    following = Following(lambda: faults.append("fault"))
    assert following.look()
    assert following.look()
    assert len(looks) == len(faults) == len(set(looks))
    monkeypatch.setattr(deployment_following, "_AFTER_FAULT", timedelta(seconds=-1))
    following = Following()
    following.look()
    following.look()
    assert len(looks) == 3 * len(set(looks))
