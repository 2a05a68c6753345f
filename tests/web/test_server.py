"""The server of one's own: what it is started with, and how it refuses to start."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys

import pytest
import uvicorn

from airflow_rest_api.web import app, server
from tests.support import canaries
from tests.web import small

# What uvicorn does in a worker process, down to the import of the application.
WORKER = """
import logging, pickle, sys
pickle.load(sys.stdin.buffer).configure_logging()
import airflow.settings
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "c:1", "GET", "/a", "1.1", 200)
logging.getLogger("uvicorn.error").info("of the server")
"""

# What a bundle does to find its repository, in the service's own process.
CONNECTING = """
from airflow_rest_api.web import server
server.create()
from airflow.sdk import BaseHook
print(BaseHook.get_connection({name!r}).host)
"""


@pytest.fixture(autouse=True)
def kept_pool(monkeypatch):
    """The pool of this process belongs to all tests: `tests/storage/test_connections.py` changes one elsewhere."""
    monkeypatch.setattr(server.connections, "keep_open", lambda: None)


def options(**changed):
    given = {
        "host": "127.0.0.1",
        "port": 1,
        "workers": 1,
        "root_path": "/x",
        "log_level": "info",
        "access_log": True,
        "worker_start_timeout": 120,
        "max_connections": 2000,
    }
    return server.Options(**{**given, **changed})


class TestCreate:
    def test_connections_are_found_in_airflows_database(self):
        name = next(iter(canaries.CONNECTIONS))
        environment = {key: value for key, value in os.environ.items() if key != "_AIRFLOW_PROCESS_CONTEXT"}
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CONNECTING.format(name=name)],
            env=environment,
            capture_output=True,
            check=True,
        )
        assert result.stdout.split()[-1].decode() == f"{name}.invalid"


class TestRun:
    def test_one_worker_serves_the_application_that_was_built(self):
        built = object()
        handed = small.uvicorn_options(built, port=8090, root_path="/airflow", access_log=True)
        assert handed["app"] is built
        assert handed["factory"] is False
        expected = {
            "host": "127.0.0.1",
            "port": 8090,
            "workers": 1,
            "root_path": "/airflow",
            "access_log": True,
        }
        assert {name: handed[name] for name in expected} == expected

    def test_several_workers_build_their_own(self):
        handed = small.uvicorn_options(object(), workers=2)
        assert (handed["factory"], handed["workers"]) == (True, 2)
        module, _, name = handed["app"].partition(":")
        assert (module, getattr(server, name)) == (server.__name__, server.create)

    def test_a_worker_process_logs_although_airflow_configures_logging_in_it(self):
        config = uvicorn.Config(**small.uvicorn_options("no:app", access_log=True, log_level="info"))
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WORKER],
            input=pickle.dumps(config),
            env={**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"},
            capture_output=True,
            check=True,
        )
        assert b'"GET /a HTTP/1.1" 200 OK' in result.stdout
        assert b"of the server" in result.stderr

    def test_faults_are_told_line_by_line(self, monkeypatch, capsys):
        def refuse(**_):
            raise app.StartError(["one thing is wrong", "another, too"])

        monkeypatch.setattr(server.app, "create_application", refuse)
        assert server.run(options()) == 1
        assert capsys.readouterr().err == (
            "airflow-rest-api: one thing is wrong\nairflow-rest-api: another, too\n"
        )

    @pytest.mark.parametrize(
        ("limits", "wanted", "allowed", "raised"),
        [
            ((1024, 4096), 2000, 2000, (2200, 4096)),
            ((1024, 1024), 2000, 824, (1024, 1024)),
            ((1024, resource.RLIM_INFINITY), 2000, 2000, (2200, resource.RLIM_INFINITY)),
            ((4096, 4096), 2000, 2000, None),
            ((resource.RLIM_INFINITY,) * 2, 2000, 2000, None),
            ((100, 100), 2000, 1, (100, 100)),
        ],
    )
    def test_the_limit_of_open_files_suits_the_connections(
        self, monkeypatch, capsys, limits, wanted, allowed, raised
    ):
        given = []
        monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
        monkeypatch.setattr(resource, "setrlimit", lambda _, limit: given.append(limit))
        assert server._allowed_connections(wanted) == allowed
        assert given == ([] if raised is None else [raised])
        assert ("ulimit" in capsys.readouterr().err) == (allowed < wanted)

    def test_the_options_are_those_of_the_command_line(self):
        assert set(server.Options.names()) == set(vars(options()))


class TestMetrics:
    def test_requests_are_counted_by_operation_and_status(self, rest):
        def count():
            text = rest.get("/metrics").text
            line = 'airflow_rest_api_requests_total{operation="get_dag",status="404"}'
            return sum(float(entry.split()[1]) for entry in text.splitlines() if entry.startswith(line))

        before = count()
        rest.get("/dags/no_such_dag")
        rest.get("/dags/no_such_dag")
        assert count() == before + 2
        assert (
            'airflow_rest_api_request_seconds_bucket{le="0.005",operation="get_dag"}'
            in rest.get("/metrics").text
        )

    def test_what_is_no_operation_is_counted_together(self, rest):
        rest.get("/nothing/at/all", role=None)
        assert 'requests_total{operation="none",status="404"}' in rest.get("/metrics").text

    @pytest.mark.parametrize("path", ["/metrics", "/capabilities"])
    def test_who_asks_is_known(self, rest, path):
        assert rest.get(path, role=None).status_code == 401
        assert rest.get(path, role="nobody").status_code == 200
