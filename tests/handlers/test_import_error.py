"""ImportError: what could not be imported, and who may know why."""

from __future__ import annotations

import pytest
from airflow.models.errors import ParseImportError
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.support import readers
from tests.support.readers import READER

WITHHELD = "REDACTED - you do not have read permission on all Dags in the file"
BOTH = {"breaks_later", "breaks_and_stays"}


@pytest.fixture
def more_errors(restored_database):
    """One error in a file of two healthy DAGs, one in a file that only another bundle has DAGs in, one alone."""
    with create_session(scoped=False) as session:
        when = session.scalars(select(ParseImportError.timestamp).limit(1)).one()
        for filename, bundle in (("assets.py", "dags-folder"), ("etl.py", "elsewhere"), ("solo.py", None)):
            session.add(
                ParseImportError(
                    filename=filename, bundle_name=bundle, timestamp=when, stacktrace=f"In {filename}"
                )
            )


def files(response):
    return {error["filename"]: error["stack_trace"] for error in response.json()["import_errors"]}


def id_of(filename):
    with create_session(scoped=False) as session:
        return session.scalars(select(ParseImportError.id).where(ParseImportError.filename == filename)).one()


class TestGetImportErrors:
    def test_the_whole_answer_is_airflows(self, parity):
        ours, theirs = parity("GET", "/importErrors")
        assert set(files(ours)) == {"broken.py", "breaks_later.py"}
        assert list(ours.json()["import_errors"][0]) == list(theirs.json()["import_errors"][0])

    @pytest.mark.usefixtures("more_errors")
    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"filename_pattern": "BREAKS"},
            {"filename_pattern": "~"},
            {"filename_pattern": "broken|solo"},
            {"filename_prefix_pattern": "br"},
            {"filename_prefix_pattern": "Br"},
            {"filename": "broken.py"},
            {"filename": "broken"},
            {"bundle_name": "dags-folder"},
            {"bundle_name": "elsewhere"},
            {"limit": 1, "offset": 1},
            {"limit": 0},
            {"offset": 100},
            {"order_by": ["bundle_name", "-filename"]},
            *({"order_by": f"{sign}{name}"} for sign in ("", "-") for name in ("id", "import_error_id")),
            *({"order_by": f"{sign}{name}"} for sign in ("", "-") for name in ("timestamp", "filename")),
            *({"order_by": f"{sign}{name}"} for sign in ("", "-") for name in ("bundle_name", "stacktrace")),
        ],
        ids=str,
    )
    def test_filters_orders_and_pages_are_airflows(self, parity, params):
        parity("GET", "/importErrors", params=params)

    @pytest.mark.usefixtures("more_errors")
    def test_an_error_whose_file_has_dags_only_in_another_bundle_is_left_out(self, parity):
        ours, _ = parity("GET", "/importErrors")
        assert set(files(ours)) == {"broken.py", "breaks_later.py", "assets.py", "solo.py"}

    @pytest.mark.in_process
    @pytest.mark.usefixtures("more_errors")
    @pytest.mark.parametrize(
        ("readable", "seen"),
        [
            (BOTH, {"broken.py": False, "breaks_later.py": False, "solo.py": False}),
            ({"breaks_later"}, {"broken.py": False, "breaks_later.py": True, "solo.py": False}),
            (
                {"makes_assets", *BOTH},
                {"broken.py": False, "breaks_later.py": False, "assets.py": True, "solo.py": False},
            ),
            (set(), {"broken.py": False, "solo.py": False}),
        ],
        ids=["both", "one of two", "one more", "none"],
    )
    def test_a_stack_trace_is_withheld_where_a_dag_may_not_be_read(self, parity, monkeypatch, readable, seen):
        readers.restrict(monkeypatch, readable)
        ours, _ = parity("GET", "/importErrors", role=READER)
        assert {name: trace == WITHHELD for name, trace in files(ours).items()} == seen
        parity("GET", "/importErrors", params={"limit": 1, "offset": 1}, role=READER)

    @pytest.mark.parametrize("params", [{"order_by": "stack_trace"}, {"limit": "all"}, {"offset": -1}])
    def test_what_airflow_refuses_is_refused(self, parity, params):
        ours, _ = parity("GET", "/importErrors", params=params)
        assert ours.status_code == 400

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", "/importErrors", role=role)

    @pytest.mark.postgres
    @pytest.mark.in_process
    @pytest.mark.parametrize("name", ["timestamp", "-filename", "stacktrace"])
    def test_postgresql_answers_the_same(self, parity, monkeypatch, name):
        readers.restrict(monkeypatch, {"breaks_later"})
        parity("GET", "/importErrors", params={"order_by": name}, role=READER)


class TestGetImportError:
    @pytest.mark.parametrize("filename", ["broken.py", "breaks_later.py"])
    def test_the_whole_answer_is_airflows(self, parity, filename):
        ours, theirs = parity("GET", f"/importErrors/{id_of(filename)}")
        assert list(ours.json()) == list(theirs.json())

    @pytest.mark.in_process
    @pytest.mark.usefixtures("more_errors")
    @pytest.mark.parametrize(
        ("readable", "status", "withheld"),
        [(BOTH, 200, False), ({"breaks_and_stays"}, 200, True), ({"etl"}, 403, None), (set(), 403, None)],
        ids=["all", "one of two", "others", "none"],
    )
    def test_the_dags_of_the_file_decide_who_may_know(self, parity, monkeypatch, readable, status, withheld):
        readers.restrict(monkeypatch, readable)
        ours, _ = parity("GET", f"/importErrors/{id_of('breaks_later.py')}", role=READER)
        assert ours.status_code == status
        assert withheld is None or (ours.json()["stack_trace"] == WITHHELD) is withheld
        for filename in ("broken.py", "etl.py", "solo.py"):
            assert parity("GET", f"/importErrors/{id_of(filename)}", role=READER)[0].status_code == 200

    def test_an_unknown_error_is_not_found(self, parity):
        ours, _ = parity("GET", "/importErrors/424242")
        assert ours.json()["import_error_id"] == 424242

    def test_an_id_that_is_no_number_is_refused(self, parity):
        parity("GET", "/importErrors/first")

    @pytest.mark.parametrize("role", [None, "nobody", "viewer"])
    def test_who_may_is_who_may_in_airflow(self, parity, role):
        parity("GET", f"/importErrors/{id_of('broken.py')}", role=role)
