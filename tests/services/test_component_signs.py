"""By what a component is known to be alive: a job of its own, or an answer on a port of its own."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_rest_api.services.components import job_signs, web_signs
from airflow_rest_api.services.jobs import HostJob
from airflow_rest_api.supervision.registry import Supervised

BEGIN = datetime(2026, 1, 5, tzinfo=timezone.utc)


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def supervised(pid: int | None) -> Supervised:
    told = {"state": "running", "supervisor_pid": 1, "started_at": BEGIN, "argv": ("x",), "restarts": 0}
    figures = {"exit_code": None, "memory_bytes": None, "cpu_percent": None, "processes": 1}
    return Supervised("api-server", None, pid=pid, log_file=Path("log.0"), **told, **figures)


class TestJobSigns:
    @pytest.mark.parametrize(
        ("processes", "jobs", "expected"),
        [
            pytest.param([0], [], {}, id="no job"),
            pytest.param([5], [4], {}, id="a job of before"),
            pytest.param([0], [3], {0: 3}, id="one of each"),
            pytest.param([0, 10], [3], {0: 3}, id="the second has none yet"),
            pytest.param([10, 0], [12, 3], {0: 3, 10: 12}, id="both"),
            pytest.param([0, 1], [3, 4], {0: 3, 1: 4}, id="both at once"),
            pytest.param([0, 10], [12], {0: 12}, id="the first was slow"),
            pytest.param([20], [3, 25, 30], {20: 25}, id="started again"),
        ],
    )
    def test_each_process_has_the_first_job_after_its_beginning(self, processes, jobs, expected):
        found = job_signs.given([at(one) for one in processes], [HostJob(at(one), True) for one in jobs])
        assert {began: job.start_date for began, job in found.items()} == {
            at(process): at(job) for process, job in expected.items()
        }


class _Airflow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/api/v2/version", "/execution/health") else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="class")
def port():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class TestWebSigns:
    def test_a_server_is_known_by_its_answer_on_a_port_of_its_own(self, port):
        here = {"host": "127.0.0.1", "port": port}
        assert web_signs.of_api_server(supervised(os.getpid()), here)
        assert web_signs.of_api_server(supervised(os.getpid()), {**here, "apps": ["execution"]})
        # Another process has the port.
        assert not web_signs.of_api_server(
            supervised(os.getppid() if os.getppid() > 1 else 2), {**here, "port": 1}
        )
        assert not web_signs.listens(supervised(None), port)
        assert not web_signs.listens(supervised(2**22 + 1), port)

    def test_what_does_not_answer_has_no_status(self, port):
        assert web_signs.answer(f"http://127.0.0.1:{port}/nothing") == 404
        assert web_signs.answer("http://127.0.0.1:1/") is None

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("0.0.0.0", "http://127.0.0.1:80"),
            ("::", "http://[::1]:80"),
            ("::1", "http://[::1]:80"),
            ("localhost", "http://localhost:80"),
        ],
    )
    def test_who_listens_everywhere_is_asked_here(self, host, expected):
        assert web_signs.address("http", host, 80) == expected
