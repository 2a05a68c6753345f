"""The console script `airflow-rest-api`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sqlalchemy.exc import OperationalError

from airflow_rest_api import cli
from airflow_rest_api.web import contract, server
from tests.support import environment, template
from tests.web import small

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).parent / "airflow-rest-api"


class TestOpenapi:
    @pytest.mark.parametrize("name", list(contract.BASE_PATHS))
    def test_the_bundled_contract_is_printed(self, capsys, name):
        assert cli.main(["openapi", "--contract", name]) == 0
        assert yaml.load(capsys.readouterr().out, Loader=contract._Loader) == contract.load(name)
        assert cli.main(["openapi", "--contract", name, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out) == contract.load(name)

    def test_it_can_go_to_a_file(self, tmp_path, capsys):
        assert cli.main(["openapi", "-o", str(tmp_path / "contract.yaml")]) == 0
        assert capsys.readouterr().out == ""
        assert (tmp_path / "contract.yaml").read_text(encoding="utf-8").startswith("openapi: 3.0.3\n")

    @pytest.mark.parametrize("command", ["openapi", "routes"])
    def test_a_broken_contract_is_one_line(self, monkeypatch, capsys, command):
        small.files(monkeypatch, {})
        assert cli.main([command]) == 1
        assert capsys.readouterr().err == "airflow-rest-api: openapi.yaml cannot be read\n"


class TestRoutes:
    def test_every_operation_is_listed(self, capsys):
        assert cli.main(["routes"]) == 0
        lines = capsys.readouterr().out.splitlines()
        operations = [
            entry for name in contract.BASE_PATHS for entry in contract.operations(contract.load(name))
        ]
        assert len(lines) == len(operations)
        assert ["DAG", "GET", "/dags/{dag_id}", "get_dag"] in [line.split() for line in lines]


class TestServe:
    def test_the_options_reach_the_server(self, monkeypatch):
        given = []
        monkeypatch.setattr(server, "run", lambda options: given.append(options) or 0)
        assert cli.main(["serve"]) == 0
        words = "--host ::1 --port 1 --workers 2 --root-path /a --log-level debug --no-access-log"
        words += " --worker-start-timeout 60 --max-connections 10"
        assert cli.main(["serve", *words.split()]) == 0
        assert given == [
            server.Options("127.0.0.1", 8090, 1, "", "info", True, 120, 2000),
            server.Options("::1", 1, 2, "/a", "debug", False, 60, 10),
        ]

    def test_a_setting_that_is_wrong_is_one_line_and_status_1(self, tmp_path):
        variables = environment.prepare(tmp_path)
        template.copy_to(tmp_path)
        variables |= {
            "AIRFLOW__REST_API__WORKER_THREADS": "99",
            "AIRFLOW__REST_API__LEGACY_DIALECT": "french",
        }
        covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        result = subprocess.run(
            [SCRIPT, "serve", "--port", "1"],
            env=environment.inherited() | variables | covered,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 1
        assert result.stderr.count("Traceback") == 0
        said = [line for line in result.stderr.splitlines() if line.startswith("airflow-rest-api: ")]
        assert [line.split()[2] for line in said] == ["legacy_dialect:", "worker_threads:"]


class TestDatabase:
    def test_the_tables_are_migrated(self, capsys, metadata_database):
        assert cli.main(["db", "migrate"]) == 0
        assert capsys.readouterr().out == "The tables of airflow-rest-api are up to date.\n"

    def test_a_database_that_does_not_answer_is_one_line(self, capsys, monkeypatch):
        def refuse():
            raise OperationalError("SELECT 1", {}, OSError("connection refused"))

        monkeypatch.setattr("airflow_rest_api.storage.manager.migrate", refuse)
        assert cli.main(["db", "migrate"]) == 1
        assert capsys.readouterr().err == (
            "airflow-rest-api: Airflow's metadata database ([database] sql_alchemy_conn) does not answer\n"
        )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["db"],
        ["serve", "--port", "x"],
        ["serve", "--workers", "0"],
        ["serve", "--max-connections", "many"],
        ["openapi", "--format", "xml"],
        ["fly"],
    ],
)
def test_what_is_no_command_is_explained(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: airflow-rest-api" in capsys.readouterr().err
