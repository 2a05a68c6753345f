"""Deploying a DAG through HTTP: what is sent is checked, stored and followed, or refused and nothing has happened."""

from __future__ import annotations

import hashlib
import io
import zipfile
from uuid import uuid4

import pytest

from airflow_rest_api.sandbox import packages
from airflow_rest_api.security.access import AirflowPermissions
from airflow_rest_api.services.deployments import deployed_paths
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.deployments.deployment_following import Following
from tests.support import deployments, parser
from tests.support.deployments import dag_file

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.usefixtures("restored_database"),
]


@pytest.fixture
def deploy(able, folder):
    """`deploy(data, path="etl.py", force="true", headers={…})`: the answer."""

    def deploy(data, path="etl.py", *, part="dag_file", name="etl.py", role="admin", headers=None, **fields):
        given = {field: (None, str(value)) for field, value in fields.items()}
        if path is not None:
            given["path"] = (None, path)
        form = {part: (name, data), **given}
        return able.post("/deployments", files=form, role=role, headers=headers or {})

    return deploy


def archive(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return packed.getvalue()


def problem(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def contents(folder):
    """The files of the bundle, without what the service keeps there."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".rest_api" not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class TestDeployDag:
    def test_a_file_is_stored_and_followed(self, deploy, able, folder, dag_id):
        data = dag_file(dag_id)
        answer = deploy(
            data, "team/etl.py", message="First.", sha256=hashlib.sha256(data).hexdigest().upper()
        )
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert (told["state"], told["dag_ids"], told["message"]) == ("stored", [dag_id], "First.")
        assert told["deployed_by"] == "admin"
        assert answer.headers["Location"].endswith(f"/v1/deployments/{told['deployment_id']}")
        assert contents(folder) == {"team/etl.py": data}
        parser.parse(folder, "team/etl.py", 0.0, deployments.BUNDLE)
        ended = able.get(f"/deployments/{told['deployment_id']}", params={"wait": 20}).json()
        assert (ended["state"], ended["dag_versions"]) == (
            "live",
            [{"dag_id": dag_id, "version_number": 1}],
        )

    def test_an_archive_becomes_a_folder(self, deploy, folder, dag_id):
        files = {"etl.py": dag_file(dag_id) + b"from team.pack import helper\n", "helper.py": b"X = 1\n"}
        answer = deploy(archive(files), "team/pack", part="archive", name="pack.zip")
        assert answer.status_code == 201, answer.text
        assert (answer.json()["kind"], answer.json()["dag_ids"]) == ("folder", [dag_id])
        assert answer.json()["sha256"] == Content.of_files(files).sha256
        assert contents(folder) == {f"team/pack/{name}": data for name, data in files.items()}

    def test_an_archive_whose_modules_import_each_other_becomes_a_package(self, deploy, able, folder, dag_id):
        files = {"etl.py": b"import helper\n" + dag_file(dag_id), "helper.py": b"X = 1\n"}
        answer = deploy(archive(files), "team/pack", part="archive", name="pack.zip")
        assert answer.status_code == 201, answer.text
        entry = answer.json()
        assert (entry["kind"], entry["path"], entry["dag_ids"]) == ("file", "team/pack.zip", [dag_id])
        assert [(one["kind"], one["path"]) for one in entry["warnings"]] == [
            ("ignored", "team/pack.zip/helper.py")
        ]
        assert contents(folder) == {"team/pack.zip": packages.packed(files)}
        assert (
            "+++ b/team/pack.zip/helper.py"
            in able.get(f"/deployments/{entry['deployment_id']}").json()["diff"]
        )

    def test_a_file_that_airflow_ignores_has_a_warning(self, deploy, able, folder):
        (folder / ".airflowignore").write_text("etl.py\n")
        entry = deploy(dag_file("ignored")).json()
        kept = able.get(f"/deployments/{entry['deployment_id']}").json()
        assert (entry["state"], [one["kind"] for one in entry["warnings"]]) == ("live", ["ignored", "no_dag"])
        assert kept["warnings"] == entry["warnings"]

    def test_the_name_of_the_upload_is_the_path(self, deploy, folder):
        assert deploy(b"x = 1\n", None, name="../../up/notes.py").status_code == 201
        assert contents(folder) == {"notes.py": b"x = 1\n"}

    def test_a_dag_that_cannot_be_imported_is_rejected(self, deploy, able, folder, dag_id):
        old = dag_file(dag_id)
        deploy(old)
        answer = deploy(b"from airflow.sdk import DAG\nimport no_such_module\n", force="true")
        assert problem(answer) == (422, "dag-rejected")
        (error,) = answer.json()["errors"]
        assert (error["path"], error["line"], error["kind"]) == ("etl.py", 2, "import")
        assert "no_such_module" in answer.json()["detail"]
        assert contents(folder) == {"etl.py": old}
        assert able.get("/deployments").json()["total_entries"] == 1

    @pytest.mark.parametrize("force", ["false", "true"])
    def test_a_file_that_is_there_is_replaced_with_force_alone(self, deploy, folder, force):
        deploy(b"x = 1\n")
        answer = deploy(b"x = 2\n", force=force)
        if force == "true":
            assert answer.status_code == 201
        else:
            assert problem(answer) == (409, "file-exists")
        assert contents(folder) == {"etl.py": b"x = 2\n" if force == "true" else b"x = 1\n"}

    def test_equal_content_is_no_conflict(self, deploy, folder):
        first, second = deploy(b"x = 1\n").json(), deploy(b"x = 1\n").json()
        assert (second["state"], second["number"]) == ("live", 2)
        assert second["previous_deployment_id"] == first["deployment_id"]

    def test_the_state_that_was_seen_can_be_replaced(self, deploy, able, folder, dag_id):
        """`If-Match` with the `ETag` of the DAG's source: by whoever has seen it, and once."""
        deploy(dag_file(dag_id))
        parser.parse(folder, "etl.py", 0.0, deployments.BUNDLE)
        tag = able.get(f"/dagSources/{dag_id}").headers["ETag"]
        second = deploy(dag_file(dag_id, 2), headers={"If-Match": tag})
        assert second.status_code == 201, second.text
        third = deploy(dag_file(dag_id, 3), headers={"If-Match": tag})
        assert problem(third) == (412, "file-changed")
        assert contents(folder) == {"etl.py": dag_file(dag_id, 2)}

    def test_whatever_is_there_is_what_a_star_matches(self, deploy, folder):
        assert problem(deploy(b"x = 1\n", headers={"If-Match": "*"})) == (412, "file-changed")
        deploy(b"x = 1\n")
        assert deploy(b"x = 2\n", headers={"If-Match": "*"}).status_code == 201

    @pytest.mark.parametrize("fields", [{}, {"force": "true"}])
    def test_a_path_that_must_be_free_is_not_replaced(self, deploy, folder, fields):
        create = {"If-None-Match": "*"}
        assert deploy(b"x = 1\n", headers=create, **fields).status_code == 201
        for source in (b"x = 1\n", b"x = 2\n"):
            assert problem(deploy(source, headers=create, **fields)) == (412, "path-taken")
        assert problem(deploy(b"x = 2\n", headers={"If-None-Match": '"a-b"'}))[0] == 400
        assert contents(folder) == {"etl.py": b"x = 1\n"}

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"pause": "true", "unpause": "true"}, (400, "pause-or-not")),
            ({"sha256": "0" * 64}, (422, "digest-differs")),
            ({"bundle_name": "nowhere"}, (404, "bundle-not-found")),
            ({"path": "../etl.py"}, (400, "bad-path")),
            ({"path": "etl.txt"}, (400, None)),
            ({"path": ".rest_api/etl.py"}, (400, "bad-path")),
            ({"force": "maybe"}, (400, None)),
            ({"forced": "true"}, (400, None)),
        ],
        ids=str,
    )
    def test_what_cannot_be_meant_is_refused(self, deploy, able, folder, fields, expected):
        fields = dict(fields)
        answer = deploy(b"x = 1\n", fields.pop("path", "etl.py"), **fields)
        status, kind = problem(answer)
        assert (status, kind if expected[1] else None) == expected
        assert contents(folder) == {}
        assert able.get("/deployments").json()["total_entries"] == 0

    def test_a_dag_of_another_file_is_refused(self, deploy, folder):
        answer = deploy(dag_file("example_bash_operator"))
        assert problem(answer) == (409, "dag-id-taken")
        assert "example_bash_operator.py" in answer.json()["detail"]
        assert contents(folder) == {}

    def test_whose_dag_it_is_is_told_to_nobody_who_may_not_change_it(self, deploy, monkeypatch):
        asked = AirflowPermissions.may_dag

        def may_dag(self, dag_id, method, access_entity=None):
            return dag_id != "example_bash_operator" and asked(self, dag_id, method, access_entity)

        monkeypatch.setattr(AirflowPermissions, "may_dag", may_dag)
        answer = deploy(dag_file("example_bash_operator"))
        assert answer.status_code == 403, answer.text
        assert "example_bash_operator.py" not in answer.text

    @pytest.mark.parametrize("role", ["op", "user", "viewer", "nobody"])
    def test_it_takes_the_power(self, deploy, folder, role):
        assert deploy(b"x = 1\n", role=role).status_code == 403
        assert contents(folder) == {}

    def test_it_takes_the_switch(self, rest, folder):
        answer = rest.post("/deployments", files={"dag_file": ("etl.py", b"x = 1\n")})
        assert (answer.status_code, answer.json()["switch"]) == (403, "deploy_enabled")

    @pytest.mark.parametrize("whose", ["present", "coming"])
    def test_it_takes_the_right_to_change_each_dag(self, deploy, folder, dag_id, monkeypatch, whose):
        from airflow_rest_api.security.access import AirflowPermissions

        deploy(dag_file(dag_id))
        parser.parse(folder, "etl.py", 0.0, deployments.BUNDLE)
        forbidden = dag_id if whose == "present" else f"{dag_id}_2"
        may_dag = AirflowPermissions.may_dag

        def may(self, asked, method, entity=None):
            return (asked, method) != (forbidden, "PUT") and may_dag(self, asked, method, entity)

        monkeypatch.setattr(AirflowPermissions, "may_dag", may)
        answer = deploy(dag_file(f"{dag_id}_2"), force="true")
        assert (answer.status_code, forbidden in answer.json()["detail"]) == (403, True)
        assert contents(folder) == {"etl.py": dag_file(dag_id)}

    def test_a_repetition_has_one_effect(self, deploy, able, folder, dag_id):
        headers = {"Idempotency-Key": uuid4().hex}
        first = deploy(dag_file(dag_id), headers=headers)
        again = deploy(dag_file(dag_id), headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert able.get("/deployments").json()["total_entries"] == 1

    def test_who_waits_too_long_is_told_to_come_again(self, deploy, folder, monkeypatch):
        monkeypatch.setattr(deployed_paths, "PATIENCE_SECONDS", 0.2)
        with deployed_paths.claimed(Place("trial", "etl.py"), "somebody", lambda *_: None):
            answer = deploy(b"x = 1\n")
        assert problem(answer) == (409, "deployment-in-progress")
        assert answer.headers["Retry-After"] == "2"

    def test_a_form_without_a_file(self, able, folder):
        answer = able.post("/deployments", files={"path": (None, "etl.py")})
        assert problem(answer) == (400, "nothing-sent")


class TestDeployedTwice:
    def test_new_dags_are_paused_unless_asked_for(self, deploy, able, folder, dag_id, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
        for number, fields in enumerate(({}, {"unpause": "true"})):
            one = f"{dag_id}_{number}"
            told = deploy(dag_file(one), f"{one}.py", **fields).json()
            parser.parse(folder, f"{one}.py", 0.0, deployments.BUNDLE)
            Following().look()
            ended = able.get(f"/deployments/{told['deployment_id']}", params={"wait": 20}).json()
            assert ended["state"] == "live"
            assert able.get(f"/dags/{one}").json()["is_paused"] is (number == 0)
