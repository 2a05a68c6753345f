"""DAGs that cannot be used: every operation names the reason, with the import error for callers who may read it."""

from __future__ import annotations

import pytest
from airflow.models.dag import DagModel
from airflow.models.errors import ParseImportError
from airflow.utils.session import create_session
from sqlalchemy import select, update

from tests.support import readers
from tests.support.dag_runs import of_type
from tests.support.readers import READER

NOW = {"logical_date": None}
DATES = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
OPERATIONS = {
    "trigger": ("POST", "/dags/{}/dagRuns", NOW),
    "dry run": ("POST", "/dags/{}/dagRuns?dry_run=true", NOW),
    "backfill": ("POST", "/backfills", {"dag_id": "{}", **DATES}),
    "backfill dry run": ("POST", "/backfills/dry_run", {"dag_id": "{}", **DATES}),
    "clear": ("POST", "/dags/{}/clearTaskInstances", {"dry_run": True}),
    "refresh": ("POST", "/dags/{}/refresh?dry_run=true", None),
    "pause": ("PATCH", "/dags/{}", {"is_paused": True}),
    "get": ("GET", "/dags/{}", None),
    "tasks": ("GET", "/dags/{}/tasks", None),
}


def error_of(filename):
    with create_session(scoped=False) as session:
        error_id = session.scalars(select(ParseImportError.id).filter_by(filename=filename)).one()
    return {"import_error_id": error_id, "bundle_name": "dags-folder", "filename": filename}


def sent(rest, name, dag_id, **options):
    method, path, body = OPERATIONS[name]
    body = body and {key: dag_id if value == "{}" else value for key, value in body.items()}
    return rest.request(method, path.format(dag_id), json=body, **options)


def reason(rest, dag_id="removed", name="trigger", **options):
    answer = sent(rest, name, dag_id, **options)
    assert answer.status_code == 404, answer.text
    of_type(answer, "dag-not-found")
    problem = answer.json()
    return problem["reason"], problem["detail"], problem.get("import_error")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_file_that_was_never_imported_is_named_by_every_operation(rest, name):
    error = error_of("broken.py")
    code, detail, told = reason(rest, "broken", name)
    assert (code, told) == ("never_imported", error)
    assert (
        f"'broken.py' in the bundle 'dags-folder' has the import error {error['import_error_id']}" in detail
    )


@pytest.mark.parametrize("name", ["trigger", "dry run"])
def test_a_file_that_broke_is_named(rest, name):
    code, detail, told = reason(rest, "breaks_later", name)
    assert (code, told) == ("import_error", error_of("breaks_later.py"))
    assert "its file 'breaks_later.py'" in detail


@pytest.mark.parametrize(
    "path", ["/dags/breaks_and_stays/dagRuns", "/dags/breaks_and_stays/dagRuns?dry_run=true"]
)
def test_a_file_that_broke_a_moment_ago_is_named(rest, path):
    answer = rest.post(path, json=NOW)
    of_type(answer, "dag-has-import-errors")
    assert answer.json()["import_error"] == error_of("breaks_later.py")


def test_a_run_of_one_task_names_the_file_as_well(rest, new_run):
    run = new_run("breaks_and_stays")
    answer = rest.post(f"{run.path}/taskInstances/only/run", params={"isolated": True})
    assert answer.json()["import_error"] == error_of("breaks_later.py")


def test_a_dag_that_its_file_no_longer_defines(rest):
    code, detail, _ = reason(rest)
    assert code == "not_in_file"
    assert detail == (
        "The DAG 'removed' is not available: its file 'generations.py' in the bundle 'dags-folder'"
        " no longer defines it."
    )


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize(
    ("relative_fileloc", "code"),
    [
        ("gone.py", "file_deleted"),
        ("gone.zip/a.py", "file_deleted"),
        ("etl.py", "not_in_file"),
        (None, "stale"),
    ],
)
def test_deleted_files_are_told_from_stale_dags(rest, relative_fileloc, code):
    with create_session(scoped=False) as session:
        changed = update(DagModel).where(DagModel.dag_id == "removed")
        session.execute(changed.values(relative_fileloc=relative_fileloc))
    assert reason(rest)[0] == code


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
def test_a_stale_dag_whose_file_exists(rest):
    with create_session(scoped=False) as session:
        in_file = update(DagModel).where(DagModel.relative_fileloc == "manual.py")
        session.execute(in_file.values(is_stale=True))
    assert reason(rest, "manual")[0] == "stale"


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
@pytest.mark.parametrize(
    ("filename", "dag_id"),
    [("solo.py", "named_in_the_trace"), ("manual.py", "third"), ("folder/stem.py", "stem")],
    ids=("trace", "file", "name"),
)
def test_a_file_is_found_by_its_error_its_content_and_its_name(rest, filename, dag_id):
    with create_session(scoped=False) as session:
        when = session.scalars(select(ParseImportError.timestamp).limit(1)).one()
        trace = "ValueError: The DAG 'named_in_the_trace' is wrong."
        session.add(
            ParseImportError(filename=filename, bundle_name="dags-folder", timestamp=when, stacktrace=trace)
        )
    code, _, told = reason(rest, dag_id)
    assert (code, told["filename"]) == ("never_imported", filename)


@pytest.mark.parametrize("dag_id", ["no_such_dag", "~"])
def test_an_id_that_no_file_names_is_not_found(rest, dag_id):
    answer = rest.post(f"/dags/{dag_id}/dagRuns", json=NOW)
    of_type(answer, "dag-not-found")
    assert "reason" not in answer.json()


@pytest.mark.in_process
@pytest.mark.parametrize("dag_id", ["broken", "breaks_later"])
def test_callers_without_permission_get_no_path_and_no_id(rest, monkeypatch, dag_id):
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_view", lambda *_, **__: False)
    _, detail, told = reason(rest, dag_id)
    assert told is None
    assert detail.endswith("has an import error.")
    assert "dags-folder" not in detail


@pytest.mark.in_process
def test_the_dags_of_the_file_decide_who_may_know(rest, monkeypatch, new_run):
    run = new_run("breaks_and_stays")
    readers.restrict(monkeypatch, {"breaks_later"})
    assert reason(rest, "breaks_later", role=READER)[2] == error_of("breaks_later.py")
    assert rest.get(run.path, role=READER).status_code == 403


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("door", "name", "dag_id", "told"),
    [
        ("clairvoyant", "trigger_dag", "broken", "'broken.py'"),
        ("clairvoyant", "trigger_dag", "breaks_later", "'breaks_later.py'"),
        ("clairvoyant", "list_tasks", "broken", "'broken.py'"),
        ("ebay", "run_task_instance", "broken", "'broken.py'"),
        ("ebay", "run_task_instance", "breaks_later", "'breaks_later.py'"),
    ],
)
def test_old_calls_name_the_file(old, door, name, dag_id, told):
    assert told in old(door, name, {"dag_id": dag_id, "run_id": "any", "tasks": "only"}).text
