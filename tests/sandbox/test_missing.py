"""What a file needs at import and the sandbox lacks is named, with what to do."""

from __future__ import annotations

import pytest

HEAD = "from airflow.sdk import DAG, BaseHook, Connection, Variable\nimport os, socket\n"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        (
            "os.environ['BUCKET']",
            (
                "The validation runs without the environment variables of Airflow: read 'BUCKET' in a task, or give a"
                " default with os.environ.get('BUCKET', …)."
            ),
        ),
        (
            "os.getenv('BUCKET') + os.environ.get('KEY')",
            (
                "The validation runs without the environment variables of Airflow, and the file reads 'BUCKET', 'KEY':"
                " give a default, or read them in a task."
            ),
        ),
        (
            "socket.create_connection(('192.0.2.1', 80), 1)",
            "The validation runs without a network: move the call into a task.",
        ),
        (
            "import urllib.request\nurllib.request.urlopen('http://example.com')",
            "The validation runs without a network: move the call into a task.",
        ),
        (
            "open('/opt/airflow/dags/cfg.json')",
            (
                "The validation sees the bundle and Python's packages, and no other folders: put the file into the"
                " bundle and open it relative to Path(__file__).parent, or read it in a task."
            ),
        ),
        (
            "open('cfg.json')",
            (
                "A relative path depends on the folder in which Airflow runs: open files of the bundle relative to"
                " Path(__file__).parent."
            ),
        ),
        (
            "open(os.path.dirname(__file__) + '/cfg.json')",
            "The bundle has no such file: deploy it first, or send it in the same archive.",
        ),
        (
            "open(__file__ + '.out', 'w')",
            (
                "The validation sees the bundle and Python's packages, and can write temporary files only: open files"
                " of the bundle relative to Path(__file__).parent, and write files in a task."
            ),
        ),
        (
            "Variable.get('region')",
            (
                "The validation runs without Airflow's variables: read 'region' in a task or in a template, or give a"
                " default."
            ),
        ),
        (
            "from airflow.models import Variable as Old\nOld.get('region')",
            (
                "The validation runs without Airflow's variables: read 'region' in a task or in a template, or give a"
                " default."
            ),
        ),
        (
            "BaseHook.get_connection('db')",
            "The validation runs without Airflow's connections: read 'db' in a task, or pass its id to an operator.",
        ),
        (
            "from airflow.configuration import conf\nconf.get('mine', 'key')",
            "The validation runs without Airflow's configuration: read 'mine/key' in a task, or give a fallback.",
        ),
        (
            "import pandsa",
            (
                "Neither the bundle nor the Python environment of this service has 'pandsa': install it for this"
                " service and for Airflow, or send it in the same archive."
            ),
        ),
        (
            "import names",
            "Airflow imports from the root of the bundle: write 'from team import names'.",
        ),
        (
            "import airflow.providers.snowflake.hooks",
            (
                "The provider 'apache-airflow-providers-snowflake' is not installed: install it for this service"
                " and for Airflow."
            ),
        ),
        (
            "DAG('d', schedule_interval='@daily')",
            "Airflow 3 has removed 'schedule_interval'. Use 'schedule' instead.",
        ),
    ],
)
def test_the_error_ends_with_what_to_do(parsed, source, hint):
    found = parsed({"team/dag.py": HEAD + source}, beside={"team/names.py": "", "x": ""})
    (fault,) = found.errors
    assert fault.message.splitlines()[-1] == hint


def test_an_error_of_its_own_has_no_hint(parsed):
    (fault,) = parsed(HEAD + "os.environ.get('A', '')\n{}['BUCKET']").errors
    assert fault.message == "KeyError: 'BUCKET'"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "from pydantic import BaseModel\nclass Job(BaseModel):\n  size: int\nJob(size='x')",
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Job\nsize\n  Input should be",
        ),
        (
            "import jsonschema\njsonschema.validate('x', {'type': 'number'})",
            "jsonschema.exceptions.ValidationError: 'x' is not of type 'number'\n\nFailed validating",
        ),
        (
            "import yaml\nyaml.safe_load('a: b: c')",
            "yaml.scanner.ScannerError: mapping values are not allowed",
        ),
    ],
)
def test_messages_of_several_lines_are_whole(parsed, source, message):
    (fault,) = parsed(HEAD + source).errors
    assert fault.message.startswith(message)


@pytest.mark.parametrize("value", ["10**30", "'\\ud800'"])
def test_a_dag_that_airflow_cannot_serialize_has_an_error(parsed, value):
    """The process of Airflow that parses such a file ends without a word; the DAG never appears."""
    source = "from airflow.providers.standard.operators.python import PythonOperator\nwith DAG('d', schedule=None):\n"
    task = f"  PythonOperator(task_id='t', python_callable=print, op_kwargs={{'n': {value}}})\n"
    found = parsed(HEAD + source + task)
    assert found.dags == ()
    assert found.errors[0].message.startswith("Airflow cannot serialize the DAG 'd': ")


def test_template_variables_of_airflow_2_are_found(parsed):
    source = (
        "with DAG('d', schedule=None):\n"
        "  from airflow.providers.standard.operators.bash import BashOperator\n"
        "  BashOperator(task_id='t', bash_command='echo {{ execution_date }} {{ params.next_ds }} next_ds')\n"
        "def work(**context):\n  return context['yesterday_ds']\n"
    )
    (file,) = parsed(HEAD + source).files
    assert file.removed == ("execution_date", "yesterday_ds")
