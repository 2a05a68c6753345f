"""What the parser writes about files, in this process: none of them means harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from airflow_rest_api.sandbox import verdict
from airflow_rest_api.sandbox.child import parser, processes
from tests.sandbox.conftest import written

# Of a library that Airflow reads its patterns with; in the sandbox nobody is told.
pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
HEAD = "from airflow.sdk import DAG\n"


@pytest.fixture
def read(tmp_path):
    """`read({"a.py": "source"})`: what is read out of what the parser writes about these files."""

    def parse(files):
        reader, writer = os.pipe()
        sent = sorted(name for name in files if name.endswith(".py"))
        parser.parse(written(tmp_path, files), sent, "drafts", parser.writer(writer))
        os.close(writer)
        with os.fdopen(reader) as lines:
            found, current, is_ended = verdict.read(lines.read().splitlines(), sent)
        assert (current, is_ended) == (None, True)
        return found

    return parse


@pytest.mark.parametrize(
    ("source", "line", "kind", "message"),
    [
        (b"# airflow dag\n\xff", 2, "encoding", "The file is not UTF-8."),
        (b"# airflow dag\0", 1, "encoding", "The file holds a NUL character."),
        (b"# airflow dag\n)", 2, "syntax", "SyntaxError: unmatched ')'"),
        (b"# airflow dag\n1/0", 2, "import", "ZeroDivisionError: division by zero"),
        (b"# dag\nimport airflow.providers.no", 2, "provider", "No module named 'airflow.providers.no'"),
        (
            (HEAD + "for n in range(1001): globals()[f'd{n}'] = DAG(f'd{n}', schedule=None)").encode(),
            None,
            "import",
            "1,001 DAGs",
        ),
    ],
)
def test_a_fault_has_its_line_and_kind(read, source, line, kind, message):
    (file,) = read({"a.py": source})
    (fault,) = file.errors
    assert (fault.line, fault.kind) == (line, kind)
    assert message in fault.message


def test_what_airflow_cannot_serialise_is_a_fault(read):
    source = HEAD + "with DAG('a', schedule=None, params={'a': object()}): pass\n"
    (file,) = read({"a.py": source})
    assert file.errors
    assert file.dags == ()


def test_a_dag_and_what_its_file_names_are_told(read):
    names = "conn_id='{{ conn.in_template }}', other_conn_id='other', text='{{ var.value.key }}'"
    (file,) = read({"a.py": HEAD + f"dag = DAG('a', schedule=None, tags=['t'])\n(lambda **k: k)({names})\n"})
    assert [(dag.dag_id, dag.tags) for dag in file.dags] == [("a", ("t",))]
    assert (file.variables, file.connections) == (("key",), ("in_template", "other"))


def test_what_airflow_skips_is_not_looked_into(read):
    files = read({"a.py": "1/0", "b/c.py": "# airflow dag\n1/0", ".airflowignore": "b/\n"})
    assert [file.ignored_by for file in files] == ["safe_mode", "airflowignore"]


def test_a_family_is_counted():
    program = "import os, time; os.fork(); os.write(1, b'r'); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout.read(2) == b"rr"
            members = processes.family(os.getpid())
            (child,) = processes.family(parent.pid)
            assert {parent.pid, child} <= set(members)
            assert processes.memory_of_family(os.getpid()) > 1 << 20
            assert processes._proportional(parent.pid) > 1 << 20
        finally:
            for member in [*processes.family(parent.pid), parent.pid]:
                os.kill(member, signal.SIGKILL)
    assert processes.family(parent.pid) == []
    assert processes._resident(parent.pid) == processes._proportional(parent.pid) == 0
