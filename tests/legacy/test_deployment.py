"""Old calls that deploy, refresh and delete DAGs and upload files, over HTTP."""

from __future__ import annotations

import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import select

from airflow_rest_api.legacy import deploying
from airflow_rest_api.security import access
from airflow_rest_api.security.switches import Switches, SwitchOff
from airflow_rest_api.services import errors
from airflow_rest_api.services.dags import dag_refresh
from airflow_rest_api.services.database import reading
from airflow_rest_api.web import contract, sinks
from tests.support import deployments, parser, work
from tests.support.deployments import dag_file, processed
from tests.support.old_calls import OldCalls
from tests.support.old_running import until

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.usefixtures("restored_database"),
]

DOORS = ("ebay", "clairvoyant")
HOST = socket.gethostname()
EXAMPLE = "example_bash_operator"
# The sandbox has none of Airflow's settings, and so does not see what is wrong.
ONLY_THERE = b"""\
import os

from airflow.sdk import DAG

if "AIRFLOW__CORE__FERNET_KEY" in os.environ:
    raise RuntimeError("only there")

dag = DAG("only_there", schedule=None)
"""


@pytest.fixture(scope="module")
def call(able, token):
    """`call("ebay", "deploy_dag", files={…})`: an old call to that service."""
    return OldCalls(able.http, token)


@pytest.fixture
def deploy(call):
    """`deploy("ebay", data, unpause="on")`: deploy a file as `etl.py`, unless it is called otherwise."""

    def deploy(door, data, name="etl.py", *, role="admin", **form):
        return call(door, "deploy_dag", form=form, files={"dag_file": (name, data)}, role=role)

    return deploy


def is_paused(dag_id):
    from airflow.models.dag import DagModel

    with reading() as session:
        return session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))


def asked():
    """The files that the DAG processor was asked for."""
    from airflow.models.dagbag import DagPriorityParsingRequest

    with reading() as session:
        return set(session.scalars(select(DagPriorityParsingRequest.relative_fileloc)))


def told(answer, status=200):
    """What an answer has to say, in either dialect; with `warning` where there is one."""
    body = answer.json()
    assert answer.status_code == status, answer.text
    if "message" in body or "error" in body:
        assert body == (
            {"message": body["message"], "status": "success"} if status == 200 else {"error": body["error"]}
        )
        return body.get("message") or body["error"]
    assert (body["status"], body["http_response_code"]) == ("OK" if status == 200 else "ERROR", status)
    return (body["output"], body["warning"]) if "warning" in body else body["output"]


def module(folder, file="etl.py"):
    return f"DAG File [<module 'module.name' from '{folder}/{file}'>] has been uploaded"


FILE_STORAGE = "DAG File [<FileStorage: 'etl.py' ('application/octet-stream')>] has been uploaded"
BOTH = "Both options pause and unpause were given. Skipping setting the state (pause, unpause) of the DAG."


class TestDeployDag:
    def test_ebays_leaves_the_dag_paused_unless_told_otherwise(self, deploy, folder, dag_id):
        rows = [({}, True), ({"pause": "on", "unpause": ""}, False), ({"pause": "on"}, True)]
        for number, (form, expected) in enumerate(rows):
            data = dag_file(dag_id, number)
            answer = processed(folder, "etl.py", data, partial(deploy, "ebay", data, force="on", **form))
            assert told(answer) == module(folder)
            assert is_paused(dag_id) is expected
        assert (folder / "etl.py").read_bytes() == data

    def test_clairvoyants_leaves_the_state_alone_unless_told_otherwise(self, deploy, folder, dag_id):
        rows = [
            ({}, FILE_STORAGE, True),
            ({"unpause": "true"}, module(folder), False),
            ({"pause": "false", "unpause": "on"}, (FILE_STORAGE, BOTH), False),
            ({"pause": "on"}, module(folder), True),
        ]
        for number, (form, expected, paused) in enumerate(rows):
            data = dag_file(dag_id, number)
            answer = processed(
                folder, "etl.py", data, partial(deploy, "clairvoyant", data, force="on", **form)
            )
            assert told(answer) == expected
            assert is_paused(dag_id) is paused
        assert answer.json()["arguments"] == {"api": "deploy_dag"}
        assert answer.json()["post_arguments"] == {"force": "on", "pause": "on"}

    def test_the_flags_may_come_with_the_address(self, call, folder, dag_id):
        data = dag_file(dag_id)
        files = {"dag_file": ("etl.py", data)}
        answer = processed(
            folder, "etl.py", data, lambda: call("ebay", "deploy_dag", {"unpause": "1"}, files=files)
        )
        assert (told(answer), is_paused(dag_id)) == (module(folder), False)

    @pytest.mark.parametrize("door", DOORS)
    def test_what_was_sent_is_checked_in_the_old_order(self, call, deploy, folder, door):
        """The file, its suffix, and whether it is there: before anybody looks what it holds."""
        missing = [
            call(door, "deploy_dag"),
            call(door, "deploy_dag", form={"force": "on"}),
            call(door, "deploy_dag", form={"dag_file": "etl.py"}),
            call(door, "deploy_dag", files={"other": ("etl.py", b"x")}),
        ]
        assert [told(answer, 400) for answer in missing] == ["dag_file should be provided"] * 4
        (folder / "etl.txt").write_bytes(b"x = 1\n")
        for name in ("etl.txt", "etl.PY", "etl.py ", "py"):
            assert told(deploy(door, b"1 /", name), 400) == "dag_file is not a *.py file"
        (folder / "etl.py").write_bytes(b"x = 1\n")
        end = "" if door == "ebay" else "."
        for data in (b"1 /", b"x = 1\n"):
            refused = f"The file '{folder}/etl.py' already exists on host '{HOST}'{end}"
            assert told(deploy(door, data, "../up/etl.py"), 400) == refused
        assert (folder / "etl.py").read_bytes() == b"x = 1\n"

    @pytest.mark.parametrize("door", DOORS)
    @pytest.mark.parametrize("name", [".rest_api.py", "a\x7f.py", "a:b.py", "x" * 300 + ".py"], ids=ascii)
    def test_hostile_names_are_refused(self, deploy, folder, door, name):
        sentence = told(deploy(door, b"x = 1\n", name), 400)
        assert sentence.startswith(("The path ", "The Content-Disposition "))
        assert list(folder.iterdir()) == []

    def test_what_cannot_be_imported_is_told_and_not_stored(self, deploy, folder):
        data = b"from airflow.sdk import DAG\nimport no_such_module\n"
        fault = (
            "line 2: ModuleNotFoundError: No module named 'no_such_module'; Neither the bundle nor the Python"
            " environment of this service has 'no_such_module': install it for this service and for Airflow, or send"
            " it in the same archive."
        )
        assert told(deploy("ebay", data), 500) == f"Failed to get dag_file: {fault}"
        assert told(deploy("clairvoyant", data), 400) == f"Failed to deploy the DAG File: {fault}"
        assert list(folder.iterdir()) == []

    def test_a_file_without_a_dag(self, deploy, folder):
        """eBay's plugin told of it with 500; Clairvoyant's looked for one only where its state was to be set."""
        refused = f"Failed to get dag from DAG File [<module 'module.name' from '{folder}/etl.py'>]"
        assert told(deploy("ebay", b"x = 1\n"), 500) == refused
        assert list(folder.iterdir()) == []
        assert told(deploy("clairvoyant", b"x = 1\n")) == FILE_STORAGE
        warning = (
            "Failed to set the state (pause, unpause) of the DAG: module 'module.name' has no attribute 'dag'"
        )
        assert told(deploy("clairvoyant", b"x = 2\n", pause="on", force="on")) == (module(folder), warning)

    def test_what_airflow_takes_back_is_a_failure(self, deploy, folder):
        fault = "RuntimeError: only there"
        for door, beginning in (
            ("ebay", "Failed to get dag_file"),
            ("clairvoyant", "Failed to deploy the DAG File"),
        ):
            answer = processed(folder, "etl.py", ONLY_THERE, partial(deploy, door, ONLY_THERE))
            assert told(answer, 500) == f"{beginning}: {fault}"
            assert not (folder / "etl.py").exists()

    def test_what_is_not_served_in_time_is_told_so(self, deploy, able, folder, dag_id, monkeypatch):
        monkeypatch.setattr(deploying, "SECONDS", 0.1)
        for number, door in enumerate(DOORS):
            answer = told(deploy(door, dag_file(dag_id, number), force="on"))
            newest = able.get("/deployments").json()["deployments"][0]
            unserved = f"Airflow does not serve it yet; the deployment '{newest['deployment_id']}' goes on."
            expected = f"{module(folder)}. {unserved}" if door == "ebay" else (FILE_STORAGE, unserved)
            assert (answer, newest["state"]) == (expected, "stored")

    def test_a_newer_deployment_of_the_file_ends_the_wait(self, deploy, able, folder):
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(deploy, "ebay", dag_file("first"))
            until((folder / "etl.py").exists)
            form = {"dag_file": ("etl.py", dag_file("second")), "force": (None, "true")}
            newer = able.post("/deployments", files=form).json()["deployment_id"]
            sentence = f"the deployment '{newer}' replaced the file before Airflow served it"
            assert told(answer.result(), 500) == f"Failed to get dag_file: {sentence}"

    @pytest.mark.parametrize("door", DOORS)
    def test_a_file_may_be_too_large_or_empty(self, deploy, folder, door):
        assert "bytes" in told(deploy(door, b"#" * 3_000_000), 413)
        assert told(deploy(door, b""), 422) == "The file for 'etl.py' is empty; nothing was stored."
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("door", DOORS)
    def test_nothing_happens_on_head(self, call, door):
        for name in ("deploy_dag", "refresh_all_dags"):
            assert call(door, name, method="HEAD").status_code == 405
        assert asked() == set()

    @pytest.mark.parametrize("door", DOORS)
    def test_a_dag_of_another_file_is_not_taken(self, deploy, folder, door):
        assert EXAMPLE in told(deploy(door, dag_file(EXAMPLE)), 409)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("door", DOORS)
    def test_who_may_not(self, deploy, old, folder, door):
        assert "power" in told(deploy(door, b"x = 1\n", role="user"), 403)
        assert deploy(door, b"x = 1\n", role=None).json() == {"msg": "Missing Authorization Header"}
        answer = old(door, "deploy_dag", files={"dag_file": ("etl.py", b"x = 1\n")})
        assert "[rest_api] deploy_enabled" in told(answer, 403)
        assert list(folder.iterdir()) == []

    def test_of_two_at_once_one_is_stored(self, deploy, folder, monkeypatch):
        monkeypatch.setattr(deploying, "SECONDS", 0.1)
        with ThreadPoolExecutor(3) as pool:
            answers = pool.map(lambda number: deploy("ebay", dag_file(f"trial_{number}")), range(3))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400]


class TestRefreshAllDags:
    def test_everything_is_asked_for(self, rest, old):
        assert told(old("ebay", "refresh_all_dags")) == "All DAGs are now up to date"
        output = told(old("clairvoyant", "refresh_all_dags", form={}))
        assert (output[:2], output[-31:]) == ("{'", ">}; All DAGs are now refreshed!")
        assert f"'{EXAMPLE}': <DAG: {EXAMPLE}>" in output
        operations = rest.get("/operations").json()["operations"]
        assert {one["operation"] for one in operations} == {"refresh_all_dags"}

    @pytest.mark.parametrize("door", DOORS)
    def test_it_is_asked_for_again_while_it_goes_on(self, old, door, monkeypatch):
        def goes_on(**_):
            raise dag_refresh.RefreshGoesOn("0")

        monkeypatch.setattr(dag_refresh, "refresh_all_dags", goes_on)
        assert asked() == set()
        assert "All DAGs are now" in told(old(door, "refresh_all_dags"))
        assert "example_bash_operator.py" in asked()

    def test_who_may_not_is_told_so(self, old):
        for door in DOORS:
            assert "may not" in told(old(door, "refresh_all_dags", role="viewer"), 403)

    @pytest.mark.parametrize("door", DOORS)
    def test_a_mishap_is_told_with_its_cause(self, old, door, monkeypatch):
        def fail(**_):
            raise errors.Conflict("Something is in the way.")

        monkeypatch.setattr(dag_refresh, "refresh_all_dags", fail)
        sentence = "An error occurred while trying to Refresh all the DAGs: Something is in the way."
        assert told(old(door, "refresh_all_dags"), 500) == sentence


class TestRefreshDag:
    def test_its_file_is_asked_for(self, rest, old):
        for options in ({}, {"form": {}}):
            answer = old("clairvoyant", "refresh_dag", {"dag_id": EXAMPLE}, **options)
            assert told(answer) == f"DAG [{EXAMPLE}] is now fresh as a daisy"
        assert rest.get("/operations").json()["operations"][0]["operation"] == "refresh_dag"

    def test_only_the_address_names_it(self, old):
        form = {"dag_id": EXAMPLE}
        assert told(old("clairvoyant", "refresh_dag", form=form), 400) == "dag_id should be provided"
        assert (
            told(old("clairvoyant", "refresh_dag", {"dag_id": ""}, form=form), 400)
            == "dag_id should be provided"
        )
        assert "['dag_id'] are required" in told(old("clairvoyant", "refresh_dag"), 400)
        spaces = "dag_id contains spaces and is therefore an illegal argument"
        assert told(old("clairvoyant", "refresh_dag", {"dag_id": f" {EXAMPLE}"}), 400) == spaces

    def test_a_dag_without_a_file_is_a_mishap(self, old):
        from airflow.models.dag import DagModel
        from sqlalchemy import update

        from airflow_rest_api.services.database import write

        lost = update(DagModel).where(DagModel.dag_id == EXAMPLE).values(relative_fileloc=None)
        write(lambda session: session.execute(lost))
        answer = old("clairvoyant", "refresh_dag", {"dag_id": EXAMPLE})
        assert told(answer, 500).startswith(
            f"An error occurred while trying to Refresh the DAG '{EXAMPLE}': "
        )

    def test_who_may_not_is_told_so(self, old):
        assert "may not" in told(old("clairvoyant", "refresh_dag", {"dag_id": EXAMPLE}, role="viewer"), 403)


class TestDeleteDag:
    @pytest.fixture
    def doomed(self, folder, dag_id):
        """A DAG that Airflow has parsed, in a file that is called otherwise."""
        from airflow.models.dagbundle import DagBundleModel

        from airflow_rest_api.services.database import write

        write(lambda session: session.merge(DagBundleModel(name=deployments.BUNDLE)))
        (folder / "team.py").write_bytes(dag_file(dag_id))
        parser.parse(folder, "team.py", 0.0, deployments.BUNDLE)
        return dag_id

    @pytest.mark.parametrize("source", ["query", "form"])
    def test_the_dag_and_its_file_are_gone(self, call, folder, doomed, source):
        answer = call("ebay", "delete_dag", **{source: {"dag_id": doomed}})
        assert told(answer) == f"DAG [{doomed}] deleted"
        assert (is_paused(doomed), (folder / "team.py").exists()) == (None, False)
        again = call("ebay", "delete_dag", {"dag_id": doomed})
        assert told(again, 400) == f"The DAG ID '{doomed}' does not exist"

    def test_a_dag_whose_file_is_gone_can_be_deleted(self, call, folder, doomed):
        (folder / "team.py").unlink()
        assert told(call("ebay", "delete_dag", {"dag_id": doomed})) == f"DAG [{doomed}] deleted"

    def test_what_cannot_be_deleted_is_a_mishap(self, call, doomed, folder):
        (folder / "team.py").write_bytes(dag_file(doomed) + dag_file("sibling"))
        parser.parse(folder, "team.py", 0.0, deployments.BUNDLE)
        sentence = told(call("ebay", "delete_dag", {"dag_id": doomed}), 500)
        assert sentence.startswith(
            f"An error occurred while trying to delete the DAG '{doomed}': The file of "
        )
        assert (is_paused(doomed), (folder / "team.py").exists()) == (True, True)

    def test_a_dag_of_which_tasks_run_is_not_deleted(self, call, new_run):
        new_run("manual", state="running", task_states={"first": "running"})
        assert "trying to delete the DAG 'manual': " in told(
            call("ebay", "delete_dag", {"dag_id": "manual"}), 500
        )

    def test_who_may_not_is_told_so_and_nothing_is_done(self, call, old, doomed, folder):
        for role in ("viewer", "user"):
            assert told(call("ebay", "delete_dag", {"dag_id": doomed}, role=role), 403)
        assert "[rest_api] deploy_enabled" in told(old("ebay", "delete_dag", {"dag_id": doomed}), 403)
        assert (is_paused(doomed), (folder / "team.py").exists()) == (True, True)

    def test_an_argument_is_needed(self, call):
        assert told(call("ebay", "delete_dag"), 400) == "The argument(s) ['dag_id'] are required"


class TestUploadFile:
    @pytest.fixture
    def upload(self, old):
        """`upload(path="/…", force="on")`: upload `b"new"` as `report.csv`, unless it is called otherwise."""

        def upload(name="report.csv", *, role="admin", **form):
            return old("ebay", "upload_file", form=form, files={"file": (name, b"new")}, role=role)

        return upload

    def test_a_file_is_written_into_the_first_root(self, upload, root):
        for name in ("report.csv", "../../etc/report.csv", "C:\\up\\report.csv"):
            answer = upload(name, force="on")
            assert told(answer) == f"File [{root}/report.csv] has been uploaded"
        assert (root / "report.csv").read_bytes() == b"new"

    def test_a_folder_may_be_named_and_is_made(self, upload, old, root):
        assert told(upload(path=f"{root}/a/b/")) == f"File [{root}/a/b/report.csv] has been uploaded"
        query = {"path": f"{root}/c", "force": "1"}
        answer = old("ebay", "upload_file", query, form={"path": "/nowhere"}, files={"file": ("x", b"")})
        assert told(answer) == f"File [{root}/c/x] has been uploaded"

    def test_a_file_that_is_there_is_kept_without_force(self, upload, root):
        (root / "report.csv").write_bytes(b"old")
        refused = f"The file '{root}/report.csv' already exists on host '{HOST}'"
        assert told(upload(), 400) == refused
        assert (root / "report.csv").read_bytes() == b"old"
        assert told(upload(force="false")) == f"File [{root}/report.csv] has been uploaded"
        assert (root / "report.csv").read_bytes() == b"new"

    def test_a_file_is_needed(self, old):
        for answer in (old("ebay", "upload_file"), old("ebay", "upload_file", form={"file": "x"})):
            assert told(answer, 400) == "file should be provided"

    def test_what_is_outside_of_the_roots_or_could_be_is_refused(self, upload, root, tmp_path):
        for path in (f"{root.parent}", str(tmp_path), "files", "/", f"{root}x", f"/{root}"):
            assert "upload root" in told(upload(path=path), 400), path
        (root / "link").symlink_to(tmp_path)
        assert told(upload(path=f"{root}/../files"), 400) == "The path has the segment '..'."
        assert "stands something" in told(upload(path=f"{root}/link"), 409)
        for name in ("a\x7f", ".rest_api", "x" * 300):
            assert told(upload(name), 400).startswith(("The path ", "The Content-Disposition "))
        assert "settings or code" in told(upload("sitecustomize.py"), 422)
        assert [one.name for one in root.iterdir()] == ["link"]
        assert list(tmp_path.iterdir()) == []

    def test_the_files_of_a_call_that_is_refused_early_are_closed(self, upload, monkeypatch):
        made = []

        def file(*sizes):
            made.append(tempfile.SpooledTemporaryFile(*sizes))  # noqa: SIM115
            return made[-1]

        monkeypatch.setattr(sinks, "SpooledTemporaryFile", file)
        assert told(upload(path="\0"), 400) == "The argument 'path' holds a NUL character."
        assert [one.closed for one in made] == [True]

    def test_without_a_root_nothing_is_written(self):
        """The switch is asked by the contract's rule, before anything else."""
        document = contract.load("legacy.yaml")
        (operation,) = (one for one in contract.operations(document) if one.operation_id == "upload_file")
        caller = access.caller_of(work.admin().user, switches=Switches(frozenset({"deploy_enabled"})))
        with pytest.raises(SwitchOff, match="upload_roots"):
            access.require(operation.definition["x-airflow-access"], caller, {}, None)

    def test_who_may_not_is_told_so(self, upload, root):
        assert "power" in told(upload(role="user"), 403)
        assert upload(role=None).status_code == 401
        assert list(root.iterdir()) == []
