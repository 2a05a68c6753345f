"""Packaged DAGs: zip archives with modules at their root, parsed as Airflow does."""

from __future__ import annotations

import io
import zipfile

import pytest

from airflow_rest_api.sandbox import packages

DAG = """
import names
from airflow.sdk import DAG
dag = DAG(names.NAME, schedule=None)
"""


def package(name, **further):
    files = {"etl.py": DAG, "names.py": f"NAME = {name!r}", **further}
    return packages.packed({path: text.encode() for path, text in files.items()})


def test_modules_at_the_root_of_a_package_import_each_other(parsed):
    found = parsed({"team/one.zip": package("one", **{"below/dag.py": "# airflow dag\n1/0"})})
    assert found.errors == ()
    assert [(dag.dag_id, dag.path) for dag in found.dags] == [("one", "team/one.zip/etl.py")]
    assert [file.path for file in found.ignored] == ["team/one.zip/below/dag.py", "team/one.zip/names.py"]


def test_packages_do_not_mix_their_modules(parsed):
    files = {"a.zip": package("first"), "b.zip": package("second"), "c.py": DAG}
    found = parsed(files, beside={"names.py": "NAME = 'of_the_bundle'"})
    assert {dag.path: dag.dag_id for dag in found.dags} == {
        "a.zip/etl.py": "first",
        "b.zip/etl.py": "second",
        "c.py": "of_the_bundle",
    }


def test_an_error_has_the_path_and_the_line_within_the_package(parsed):
    (fault,) = parsed({"one.zip": package("one", **{"bad.py": "# airflow dag\n\n1/0"})}).errors
    assert (fault.path, fault.line) == ("one.zip/bad.py", 3)
    assert fault.message == "ZeroDivisionError: division by zero"


def test_a_dag_that_airflow_rejects_after_the_import_is_an_error(parsed):
    cycle = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("cycle", schedule=None):
    a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
    a >> b >> a
"""
    (fault,) = parsed({"one.zip": packages.packed({"etl.py": cycle.encode()})}).errors
    assert "Cycle detected" in fault.message


def test_a_package_that_an_ignore_file_names_is_not_parsed(parsed):
    found = parsed({"one.zip": package("one")}, beside={".airflowignore": "*.zip\n"})
    assert found.dags == ()
    assert {file.ignored_by for file in found.files} == {"airflowignore"}


@pytest.mark.parametrize(
    ("files", "is_needed"),
    [
        ({"etl.py": "import names", "names.py": ""}, True),
        ({"etl.py": "from names.of import x", "names/of.py": ""}, True),
        ({"etl.py": "def f():\n    import json, names as n", "names.py": ""}, True),
        ({"etl.py": "import team.names", "names.py": ""}, False),
        ({"etl.py": "import json", "json.py": ""}, False),
        ({"etl.py": "import etl", "names.py": ""}, False),
        ({"below/etl.py": "import names", "names.py": ""}, False),
        ({"etl.py": "import names", "names.txt": ""}, False),
        ({"etl.py": "from . import names", "names.py": ""}, False),
        ({"etl.py": b"\xffimport \xff", "names.py": ""}, False),
    ],
)
def test_a_package_is_needed_where_modules_of_the_root_import_each_other(files, is_needed):
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    assert packages.is_needed(data) is is_needed


def test_equal_files_give_an_equal_package():
    one, other = (
        packages.packed(dict(order)) for order in ([("a", b"1"), ("b", b"2")], [("b", b"2"), ("a", b"1")])
    )
    assert one == other
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.namelist() == ["a", "b"]


def test_what_is_not_an_archive_has_no_modules(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    assert packages.modules(tmp_path / "a.zip") == []
