"""Powers under Flask-AppBuilder: made once, granted to Admin once, and from then on the administrator's."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.security.fab_powers import RESOURCES
from tests.support import environment, template
from tests.support.under_manager import MANAGERS

pytestmark = pytest.mark.slow

ALL = ["deploy", "files", "components", "test", "reveal"]


def prepared(home):
    """The environment of a fresh home under Flask-AppBuilder."""
    variables = environment.prepare(home)
    template.copy_to(home)
    variables |= {"AIRFLOW__CORE__AUTH_MANAGER": MANAGERS["fab"], "PYTHONPATH": str(environment.ROOT)}
    covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return environment.inherited() | variables | covered


def begun(variables, *command):
    return subprocess.Popen(
        command,
        env=variables,
        cwd=environment.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, output[-2000:] + errors[-4000:]
    return output


def step(variables, name):
    process = begun(variables, sys.executable, "-W", "ignore", "-m", "tests.security.fab_powers", name)
    return json.loads(ended(process).splitlines()[-1])


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """What one installation saw in its life, start after start."""
    return step(prepared(tmp_path_factory.mktemp("fab-powers")), "life")


def granted(found, role):
    return [resource for name, resource, _, _ in found["rows"] if name == role]


def test_the_first_start_grants_every_power_to_admin_alone(history):
    assert history["make"]["first"] == [
        ["Admin", resource, "can_edit", True] for resource in sorted(RESOURCES)
    ]


def test_who_has_the_power_may_and_nobody_else(history):
    made = history["make"]
    assert made["held"] == {"Admin": ALL, "Op": [], "Deployer": []}
    assert made["statuses"] == {
        "Admin": [200, None],
        "Op": [403, DETAIL.format("Op")],
        "Deployer": [403, DETAIL.format("Deployer")],
    }


DETAIL = (
    "The user '{}' lacks the power 'deploy', which an administrator grants ('can edit on REST API Deploy')."
)


def test_a_grant_that_was_taken_away_stays_away_and_another_role_can_have_it(history):
    for name in ("change", "synchronise", "seen"):
        found = history[name]
        assert found["held"] == {
            "Admin": ["components", "test", "reveal"],
            "Op": [],
            "Deployer": ["deploy"],
        }, name
        assert [found["statuses"][role][0] for role in ("Admin", "Op", "Deployer")] == [403, 403, 200], name


def test_airflow_itself_does_give_admin_every_permission_back(history):
    """Or the two tests about it would prove nothing."""
    assert granted(history["seen"], "Admin") == sorted(RESOURCES)
    assert history["without_mark"]["held"]["Admin"] == ALL


def test_a_deleted_resource_is_made_anew_with_its_grant_and_a_deleted_permission_without(history):
    found = history["delete_permission"]
    assert found["held"] == {"Admin": ["files", "components", "test", "reveal"], "Op": [], "Deployer": []}


def test_many_processes_make_the_rows_at_once(tmp_path):
    variables = prepared(tmp_path)
    command = (sys.executable, "-W", "ignore", "-m", "tests.security.fab_powers", "many")
    processes = [begun(variables, *command) for _ in range(2)]
    for process in processes:
        rows = json.loads(ended(process).splitlines()[-1])["rows"]
        assert rows == [["Admin", resource, "can_edit", True] for resource in sorted(RESOURCES)]


def test_the_command_that_migrates_makes_them_too(tmp_path):
    variables = prepared(tmp_path)
    ended(begun(variables, sys.executable, "-W", "ignore", "-m", "airflow_rest_api.cli", "db", "migrate"))
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        names = database.execute("SELECT name FROM ab_view_menu WHERE name LIKE 'REST API %'").fetchall()
    assert sorted(name for (name,) in names) == sorted(RESOURCES)


def test_without_flask_appbuilders_tables_a_warning_is_all(tmp_path):
    found = step(prepared(tmp_path), "without_tables")
    assert found["started"]
    assert found["told"] == [
        "Flask-AppBuilder's tables are missing, so nobody can be granted a power of the REST API"
    ]
