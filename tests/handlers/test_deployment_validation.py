"""Deployment: `validate_dag`, with the real sandbox."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from contextlib import contextmanager

import pytest

from tests.conftest import application, in_process
from tests.support import clients

pytestmark = [pytest.mark.in_process, pytest.mark.xdist_group("sandbox")]

DAG = """
from airflow.sdk import DAG, task

with DAG({dag_id!r}, schedule="@daily", tags=["team"]):

    @task
    def work():
        return 1

    work()
"""


@contextmanager
def client(token, monkeypatch, **settings):
    for name, value in {"DEPLOY_ENABLED": "True", **settings}.items():
        monkeypatch.setenv(f"AIRFLOW__REST_API__{name}", value)
    with in_process(application()) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture(scope="module")
def deploying(token, rest):
    """A client of a service that may deploy; `rest` is made before, of which nothing may be switched on."""
    with pytest.MonkeyPatch.context() as patch, client(token, patch) as found:
        yield found


@pytest.fixture
def drafts(home):
    """The bundle that is deployed into, empty again after the test."""
    import shutil

    yield home / "drafts"
    for path in (home / "drafts").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def validate(deploying, source, *, name="dag.py", field="dag_file", role="admin", **fields):
    content = source.encode() if isinstance(source, str) else source
    # A form without a file is still a form.
    files = (
        {"path": (None, "dag.py")}
        if content is None
        else {field: (name, content, "application/octet-stream")}
    )
    return deploying.post("/deployments/validate", files=files, data=fields, role=role)


def archive(files, kind="zip"):
    raw = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(raw, "w") as packed:
            for path, text in files.items():
                packed.writestr(path, text)
    else:
        with tarfile.open(fileobj=raw, mode="w:gz") as packed:
            for path, text in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(text)
                packed.addfile(info, io.BytesIO(text.encode()))
    return raw.getvalue()


class TestValidateDag:
    def test_a_new_dag_is_told_whole(self, deploying, drafts):
        source = DAG.format(dag_id="validated")
        answer = validate(deploying, source, path="team/dag.py")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body.pop("parse_seconds") > 0
        assert body.pop("difference") == {
            "dags_added": ["validated"],
            "dags_removed": [],
            "dags_changed": [],
            "source": "--- /dev/null\n+++ b/team/dag.py\n@@ -0,0 +1,10 @@\n"
            + "".join(f"+{line}\n" for line in source.splitlines()),
        }
        assert body.pop("sha256")
        assert body == {
            "valid": True,
            "bundle_name": "drafts",
            "path": "team/dag.py",
            "dags": [
                {
                    "dag_id": "validated",
                    "path": "team/dag.py",
                    "task_ids": ["work"],
                    "schedule": "0 0 * * *",
                    "tags": ["team"],
                }
            ],
            "errors": [],
            "warnings": [],
            "sandbox": "full",
        }
        assert list(drafts.iterdir()) == []

    def test_a_bad_file_is_an_answer_and_no_refusal(self, deploying):
        body = validate(deploying, "from airflow.sdk import dag\nx = (\n").json()
        assert body["valid"] is False
        fault = {
            "path": "dag.py",
            "line": 2,
            "kind": "syntax",
            "message": "SyntaxError: '(' was never closed",
        }
        assert body["errors"] == [fault]
        assert body["dags"] == []

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_an_archive_is_a_folder(self, deploying, kind):
        files = {"etl/dag.py": "import etl.names\n" + DAG.format(dag_id="packed"), "etl/names.py": "X = 1"}
        body = validate(deploying, archive(files, kind), name=f"etl.{kind}", field="archive").json()
        assert (body["valid"], body["path"], body["errors"]) == (True, "etl", [])
        assert [(dag["dag_id"], dag["path"]) for dag in body["dags"]] == [("packed", "etl/dag.py")]
        sentence = (
            "Airflow does not look for DAGs in this file: it lacks the words 'airflow' and 'dag' (or 'asset')."
            " Other files can import it."
        )
        assert body["warnings"] == [
            {"kind": "ignored", "message": sentence, "path": "etl/names.py", "name": None}
        ]

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_an_archive_whose_modules_import_each_other_is_a_package(self, deploying, drafts, kind):
        files = {
            "dag.py": "import names\n" + DAG.format(dag_id="packed"),
            "names.py": "",
            "sub/x.py": "# airflow dag",
        }
        body = validate(deploying, archive(files, kind), name=f"etl.{kind}", field="archive").json()
        assert (body["valid"], body["path"], body["errors"]) == (True, "etl.zip", [])
        assert [(dag["dag_id"], dag["path"]) for dag in body["dags"]] == [("packed", "etl.zip/dag.py")]
        reasons = {entry["path"]: entry["message"] for entry in body["warnings"]}
        assert reasons.keys() == {"etl.zip/names.py", "etl.zip/sub/x.py"}
        assert "the modules at the archive's root" in reasons["etl.zip/sub/x.py"]
        assert "+++ b/etl.zip/dag.py" in body["difference"]["source"]

    def test_a_path_that_ends_in_zip_is_a_package(self, deploying, drafts):
        data = archive({"etl/dag.py": DAG.format(dag_id="packed")})
        body = validate(deploying, data, name="x.zip", field="archive", path="team/etl.zip").json()
        assert [dag["path"] for dag in body["dags"]] == ["team/etl.zip/dag.py"]

    def test_a_file_that_an_ignore_file_names_has_a_warning(self, deploying, drafts):
        (drafts / ".airflowignore").write_text("dag.py\n")
        body = validate(deploying, DAG.format(dag_id="ignored")).json()
        assert [entry["kind"] for entry in body["warnings"]] == ["ignored", "no_dag"]
        assert "an '.airflowignore' of the bundle names it" in body["warnings"][0]["message"]

    def test_a_template_variable_of_airflow_2_has_a_warning(self, deploying):
        source = DAG.format(dag_id="old") + "TEXT = '{{ execution_date }}'\n"
        (warning,) = validate(deploying, source).json()["warnings"]
        assert (warning["kind"], warning["name"], warning["path"]) == (
            "removed_name",
            "execution_date",
            "dag.py",
        )
        assert warning["message"] == "Airflow 3 has removed 'execution_date'. Use 'logical_date' instead."

    def test_what_somebody_should_know_is_a_warning(self, deploying, scenario):
        source = DAG.format(dag_id=scenario.active) + (
            "from airflow.sdk import Variable, BaseHook\n"
            "def f():\n    Variable.get('nobody_made_it')\n    BaseHook.get_connection('nor_this')\n"
        )
        body = validate(deploying, source).json()
        found = {(entry["kind"], entry["name"]) for entry in body["warnings"]}
        assert found == {
            ("dag_id_taken", scenario.active),
            ("unknown_variable", "nobody_made_it"),
            ("unknown_connection", "nor_this"),
        }
        assert body["valid"] is True

    def test_a_file_without_a_dag_and_a_missing_provider_are_warnings(self, deploying):
        assert [entry["kind"] for entry in validate(deploying, "# airflow dag\n").json()["warnings"]] == [
            "no_dag"
        ]
        source = "# dag\nfrom airflow.providers.snowflake import hooks\n"
        body = validate(deploying, source).json()
        assert [entry["kind"] for entry in body["warnings"]] == ["missing_provider"]
        assert body["errors"][0]["kind"] == "provider"

    def test_the_difference_is_to_what_stands_there(self, deploying, drafts):
        (drafts / "dag.py").write_text(DAG.format(dag_id="validated"))
        source = DAG.format(dag_id="validated").replace("return 1", "return 2")
        lines = validate(deploying, source).json()["difference"]["source"].splitlines()
        assert "-        return 1" in lines
        assert "+        return 2" in lines

    def test_a_neighbour_in_the_bundle_can_be_imported(self, deploying, drafts):
        (drafts / "neighbour.py").write_text("DAG_ID = 'from_neighbour'")
        body = validate(
            deploying, "import neighbour\n" + DAG.replace("{dag_id!r}", "neighbour.DAG_ID")
        ).json()
        assert [dag["dag_id"] for dag in body["dags"]] == ["from_neighbour"]

    def test_a_dag_that_two_files_declare_is_a_fault(self, deploying):
        files = {name: DAG.format(dag_id="doubled") for name in ("a.py", "b.py")}
        body = validate(deploying, archive(files), name="etl.zip", field="archive").json()
        assert body["valid"] is False
        message = "The DAG 'doubled' is declared by 'etl/a.py' as well."
        assert body["errors"] == [{"path": "etl/b.py", "line": None, "kind": "double", "message": message}]

    def test_a_folder_that_is_too_large_is_a_conflict(self, deploying, drafts, monkeypatch):
        monkeypatch.setattr("airflow_rest_api.services.deployments.local_publication.MOST_BYTES", 10)
        (drafts / "etl").mkdir()
        (drafts / "etl" / "data.txt").write_text("x" * 11)
        files = archive({"dag.py": DAG.format(dag_id="small")})
        answer = validate(deploying, files, name="etl.zip", field="archive")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "content-too-large")

    def test_the_source_is_withheld_of_who_may_not_read_it(self, deploying, drafts, monkeypatch):
        from airflow.models.dag import DagModel

        from airflow_rest_api.security.access import AirflowPermissions
        from airflow_rest_api.services.database import write

        (drafts / "dag.py").write_text(DAG.format(dag_id="hidden_once"))
        # Airflow does not find it at present: what its file holds is as secret as before.
        row = {
            "dag_id": "hidden_once",
            "bundle_name": "drafts",
            "relative_fileloc": "dag.py",
            "is_stale": True,
        }
        write(lambda session: session.add(DagModel(**row)))
        try:
            source = DAG.format(dag_id="another")
            assert "hidden_once" in validate(deploying, source).json()["difference"]["source"]
            asked = AirflowPermissions.may_dag

            def may_dag(self, dag_id, method, access_entity=None):
                return access_entity != "CODE" and asked(self, dag_id, method, access_entity)

            monkeypatch.setattr(AirflowPermissions, "may_dag", may_dag)
            answer = validate(deploying, source)
            assert answer.json()["difference"]["source"] is None
            assert "hidden_once" not in answer.text
        finally:
            write(lambda session: session.delete(session.get(DagModel, "hidden_once")))

    @pytest.mark.parametrize(
        ("fields", "status", "kind"),
        [
            ({"source": None}, 400, "nothing-sent"),
            ({"name": "dag.txt"}, 400, "not-python"),
            ({"path": "../dag.py"}, 400, "bad-path"),
            ({"path": "/etc/dag.py"}, 400, "bad-path"),
            ({"path": "a//dag.py"}, 400, "bad-path"),
            ({"name": "..", "source": "x"}, 400, "bad-path"),
            ({"path": ".rest_api/dag.py"}, 400, "bad-path"),
            ({"path": "airflow_local_settings.py"}, 422, "reserved-module"),
            ({"source": ""}, 422, "empty-file"),
            ({"bundle_name": "nowhere"}, 404, "bundle-not-found"),
            ({"field": "archive", "name": "a.zip"}, 422, "archive-refused"),
        ],
    )
    def test_what_cannot_be_checked_is_refused(self, deploying, fields, status, kind):
        answer = validate(deploying, fields.pop("source", DAG), **fields)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:airflow-rest-api:problem:{kind}")

    def test_both_a_file_and_an_archive_are_one_too_many(self, deploying):
        files = {name: (f"{name}.py", b"x") for name in ("dag_file", "archive")}
        answer = deploying.post("/deployments/validate", files=files)
        assert answer.json()["type"].endswith("nothing-sent")

    def test_a_file_that_is_too_large_is_refused_unread(self, deploying):
        assert validate(deploying, b"#" * (1200 * 1024)).status_code == 413

    def test_a_file_beyond_its_own_limit_is_refused_although_an_archive_could_be_as_large(self, deploying):
        answer = validate(deploying, b"#" * (1024 * 1024 + 1))
        assert (answer.status_code, "1048576 bytes" in answer.json()["detail"]) == (413, True)

    def test_an_archive_has_a_limit_of_its_own(self, deploying):
        # Random bytes do not compress.
        files = {"dag.py": DAG.format(dag_id="large"), "data.txt": os.urandom(1024 * 1024 + 1)}
        answer = validate(deploying, archive(files), name="large.zip", field="archive")
        assert answer.json()["valid"] is True

    @pytest.mark.parametrize("path", ["aux.py", "team/CON.py", "nul.d/a.py"])
    def test_the_name_of_a_windows_device_is_not_deployed(self, deploying, path):
        answer = validate(deploying, DAG.format(dag_id="a"), path=path)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (400, "bad-path")
        packed = validate(deploying, archive({path: DAG.format(dag_id="a")}), name="a.zip", field="archive")
        assert (packed.status_code, "names a device on Windows" in packed.json()["detail"]) == (422, True)

    def test_a_hostile_name_of_the_client_is_its_last_part(self, deploying):
        assert validate(deploying, DAG.format(dag_id="a"), name="../../etc/x.py").json()["path"] == "x.py"

    @pytest.mark.parametrize("role", ["op", "user", "viewer", "nobody"])
    def test_it_needs_the_power_to_deploy(self, deploying, role):
        assert validate(deploying, DAG, role=role).status_code == 403

    def test_it_needs_the_switch(self, rest):
        answer = validate(rest, DAG)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "switch-off")
