"""What the sandbox finds in files that mean no harm."""

from __future__ import annotations

import pytest

from airflow_rest_api.sandbox import verdict
from airflow_rest_api.sandbox.box import Sandbox
from airflow_rest_api.sandbox.verdict import ParsedDag, ParseFault
from tests.sandbox.conftest import written

DAG = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
with DAG({name!r}, schedule="@daily", tags=["b", "a"]):
    BashOperator(task_id="first", bash_command="true") >> BashOperator(task_id="second", bash_command="true")
"""


def ignored(found):
    return [file.path for file in found.ignored]


def test_a_dag_is_told_with_its_tasks_schedule_and_tags(parsed):
    found = parsed(DAG.format(name="etl"))
    assert found.dags == (ParsedDag("etl", "dag.py", ("first", "second"), "0 0 * * *", ("a", "b")),)
    assert (found.errors, found.ignored, found.sandbox) == ((), (), "full")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (
            "from airflow.sdk import dag\nx = (\n",
            ParseFault("dag.py", 2, "syntax", "SyntaxError: '(' was never closed"),
        ),
        (
            "from airflow.sdk import dag\n\nraise ValueError('no')\n",
            ParseFault("dag.py", 3, "import", "ValueError: no"),
        ),
        (
            "from airflow.sdk import dag\nimport airflow.providers.apache.spark.hooks",
            ParseFault(
                "dag.py",
                2,
                "provider",
                "ModuleNotFoundError: No module named 'airflow.providers.apache'\n"
                "The provider 'apache-airflow-providers-apache-spark' is not installed: install it for this"
                " service and for Airflow.",
            ),
        ),
        (b"# airflow dag\n\xff\n", ParseFault("dag.py", 2, "encoding", "The file is not UTF-8.")),
        (b"# airflow dag\n\n\0\n", ParseFault("dag.py", 3, "encoding", "The file holds a NUL character.")),
        (
            "from airflow.sdk import dag\ndef f():\n    import sys\n    sys.exit(0)\nf()\n",
            ParseFault("dag.py", 4, "import", "SystemExit: 0"),
        ),
    ],
)
def test_a_fault_is_told_with_its_line(parsed, source, fault):
    found = parsed(source if isinstance(source, str) else {"dag.py": source})
    assert found.errors == (fault,)
    assert found.dags == ()


def test_a_missing_provider_is_named_as_it_is_installed(parsed):
    source = "from airflow.sdk import dag\nfrom airflow.providers.{} import x\n"
    found = parsed({f"{name}.py": source.format(name) for name in ("snowflake.hooks", "common.messaging")})
    assert found.missing_providers == (
        "apache-airflow-providers-common-messaging",
        "apache-airflow-providers-snowflake",
    )


def test_more_dags_than_can_be_told_are_a_fault_that_says_so(parsed):
    source = "from airflow.sdk import DAG\nfor n in range(1001): globals()[f'd{n}'] = DAG(f'd{n}', schedule=None)\n"
    (fault,) = parsed(source).errors
    assert fault.message == "The file declares 1,001 DAGs; 1,000 are the most for one file."


def test_a_text_that_can_be_no_id_is_not_told_as_one(parsed):
    found = parsed(DAG.format(name="etl") + f"f = lambda **k: k\nf(conn_id='{'c' * 5000}')\n")
    assert (found.errors, found.connections) == ((), ())


def test_a_cycle_is_a_fault_as_in_airflow(parsed):
    cycle = DAG.format(name="etl") + "    t = BashOperator(task_id='t', bash_command='true')\n    t >> t\n"
    assert "ycle" in parsed(cycle).errors[0].message


def test_a_file_that_safe_mode_skips_is_told(parsed):
    found = parsed({"helper.py": "x = 1\n", "empty.py": ""})
    assert (ignored(found), found.errors, found.dags) == (["empty.py", "helper.py"], (), ())


def test_files_that_an_airflowignore_names_are_told(parsed):
    broken = "# airflow dag\n1/0\n"
    sent = {"a/dag.py": DAG.format(name="etl"), "a/tests/test_dag.py": broken, "a/.airflowignore": "tests/\n"}
    found = parsed({**sent, "b_skip.py": broken}, beside={".airflowignore": "*_skip.py\n", "c.py": ""})
    assert (ignored(found), found.errors) == (["a/tests/test_dag.py", "b_skip.py"], ())
    assert [dag.dag_id for dag in found.dags] == ["etl"]


def test_a_file_may_use_a_temporary_folder(parsed):
    source = "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'a')\n"
    assert parsed(source + DAG.format(name="etl")).errors == ()


def test_a_file_that_safe_mode_skips_is_python_all_the_same(parsed):
    found = parsed({"helper.py": "x = 1\nx = (\n"})
    assert found.errors == (ParseFault("helper.py", 2, "syntax", "SyntaxError: '(' was never closed"),)


def test_variables_and_connections_that_the_source_names_are_told(parsed):
    found = parsed(
        DAG.format(name="etl")
        + "    BashOperator(task_id='t', bash_command='{{ var.value.plain }} {{ var.json.get(\"quoted\", 1) }} "
        "{{ conn.plain_conn.host }}', env={'a': 'b'})\n"
        "def f():\n    from airflow.sdk import Variable, BaseHook\n    Variable.get('read')\n"
        "    Variable.get('has_default', default=None)\n    BaseHook.get_connection('hook_conn')\n"
        "g = lambda **k: k\ng(aws_conn_id='aws', conn_id='direct')\n"
    )
    assert found.errors == ()
    assert found.variables == ("plain", "quoted", "read")
    assert found.connections == ("aws", "direct", "hook_conn", "plain_conn")


def test_a_variable_that_is_needed_at_import_is_explained(parsed):
    (fault,) = parsed("from airflow.sdk import dag, Variable\nVariable.get('x')\n").errors
    assert fault.line == 2
    assert "VARIABLE_NOT_FOUND" in fault.message
    assert "read 'x' in a task" in fault.message


def test_a_file_sees_its_neighbours_in_the_bundle_and_not_the_one_that_it_replaces(parsed):
    source = """
from airflow.sdk import DAG
import common.names
from pathlib import Path
one = DAG(Path(__file__).with_name('name.txt').read_text(), schedule=None)
other = DAG(common.names.NAME, schedule=None)
"""
    beside = {"team/name.txt": "from_text", "team/dag.py": "1/0", "common/names.py": "NAME = 'from_module'"}
    found = parsed({"team/dag.py": source}, beside=beside)
    assert found.errors == ()
    assert {dag.dag_id for dag in found.dags} == {"from_module", "from_text"}


@pytest.mark.parametrize(("replaced", "is_there"), [("team", "False"), (None, "True")])
def test_a_folder_that_is_replaced_has_nothing_of_the_old_one(parsed, replaced, is_there):
    source = """
from airflow.sdk import DAG
from pathlib import Path
dag = DAG(str(Path(__file__).with_name('old').exists()), schedule=None)
"""
    found = parsed({"team/dag.py": source}, beside={"team/old": "", "x": ""}, replaced=replaced)
    assert [dag.dag_id for dag in found.dags] == [is_there]


def test_a_bundle_that_is_a_folder_for_uploads_as_well_is_seen(tmp_path):
    folder, place = (
        written(tmp_path / "sent", {"dag.py": "import neighbour\n" + DAG.format(name="etl")}),
        tmp_path / "b",
    )
    beside = written(place, {"neighbour.py": "", ".rest_api/staging/x.py": "", "hidden/.rest_api/y": ""})
    box = Sandbox(hidden=[tmp_path, place, place / "hidden", place / ".rest_api" / "staging"])
    try:
        found = box.validate(folder, bundle_name="drafts", beside=beside)
    finally:
        box.stop()
    assert [dag.dag_id for dag in found.dags] == ["etl"]


REST = '"errors": [], "variables": [], "connections": []'


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"path": "other.py"}',
        '{"path": "dag.py"}',
        '{"begin": "other.py"}',
        f'{{"path": "dag.py", "dags": [1], {REST}}}',
        f'{{"path": "dag.py", "dags": [{{"dag_id": 1, "tasks": [], "tags": []}}], {REST}}}',
        f'{{"path": "dag.py", "dags": [{{"dag_id": "{"d" * 251}", "tasks": [], "tags": []}}], {REST}}}',
        "[" * 100_000,
    ],
)
def test_a_message_of_a_stranger_is_not_read(line):
    with pytest.raises(verdict.Unreadable):
        verdict.read([line], ["dag.py"])


def test_the_server_is_started_anew_when_it_has_died(sandbox, parsed):
    parsed("")
    sandbox._server.process.kill()
    sandbox._server.process.wait()
    assert parsed(DAG.format(name="again")).dags[0].dag_id == "again"
