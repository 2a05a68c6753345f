"""Several worker processes: how they start, why they are replaced, and how they stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from airflow_rest_api.web import worker_processes
from airflow_rest_api.web.worker_processes import Supervisor
from tests.support import servers
from tests.support.clients import Tokens
from tests.web import small
from tests.web.small import Wire

pytestmark = pytest.mark.slow


@pytest.fixture
def signals():
    """A supervisor handles the signals of this process."""
    known = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in known.items():
        signal.signal(number, handler)


@pytest.fixture
def logged():
    """The errors that the server has logged."""
    handler, records = logging.Handler(logging.ERROR), []
    handler.emit = records.append
    logger = logging.getLogger("uvicorn.error")
    known = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    yield lambda: [record.getMessage() for record in records]
    logger.setLevel(known)
    logger.removeHandler(handler)


@pytest.fixture
def supervise(signals):
    """Run a supervisor with two workers to its end."""

    def run(application, seconds):
        config = uvicorn.Config(
            f"tests.support.worker_apps:{application}", factory=True, port=0, workers=2, log_config=None
        )
        supervisor = Supervisor(config, [config.bind_socket()], seconds)
        supervisor.run()
        return supervisor

    return run


@pytest.mark.timeout(120)
class TestWorkersThatDoNotStart:
    def expect(self, supervisor, errors, reason):
        *workers, last = errors
        assert supervisor.has_failed
        assert len(workers) == worker_processes.MOST_FAILED_STARTS
        assert {text.partition("] ")[2] for text in workers} == {reason}
        assert last == "The workers cannot start; stopping. The lines above have the reason."
        assert all(not process.process.is_alive() for process in supervisor.processes)
        assert supervisor.sockets[0].fileno() == -1

    def test_one_that_hangs_is_killed_and_the_log_says_why(self, supervise, logged):
        self.expect(
            supervise("hanging", 0.5),
            logged(),
            "did not start within 0.5 seconds and was killed; a slow or busy machine needs a higher"
            " --worker-start-timeout.",
        )

    @pytest.mark.parametrize(
        ("application", "how"), [("ending", "ended with status 7"), ("killed", "was ended by SIGKILL")]
    )
    def test_one_that_ends_is_named_with_how_it_ended(self, supervise, logged, application, how):
        self.expect(supervise(application, 60), logged(), f"{how} before it had started.")


@pytest.mark.timeout(300)
def test_two_workers_start_and_stop_while_polls_are_open(tmp_path, request):
    if request.config.getoption("--service-url"):
        pytest.skip("starts a server of its own")
    with (
        servers.running("two workers", tmp_path, is_covered=False) as server,
        contextlib.ExitStack() as stack,
    ):
        parent, run = psutil.Process(server.pid), open_run(server.url)
        host, _, port = server.url.removeprefix("http://").partition(":")
        polls = [stack.enter_context(Wire((host, int(port)))) for _ in range(8)]
        for poll in polls:
            poll.send(
                f"GET {run}?wait=60 HTTP/1.1", "Host: test", f"Authorization: {admin()['Authorization']}"
            )
        assert small.until(lambda: all(is_read(poll) for poll in polls), 30)
        os.kill(server.pid, signal.SIGTERM)
        responses = [poll.answer() for poll in polls]
        assert {(status, json.loads(body)["state"]) for status, _, body in responses} == {(200, "queued")}
        parent.wait(20)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url, timeout=5)
        log = server.log.read_text()
    # What goes on for too long is cancelled after half a minute.
    assert "Cancel" not in log
    assert "was killed" not in log


def is_read(wire):
    """Return whether the server has read all that was sent on a connection (Linux: /proc/net/tcp)."""
    (_, ours), (_, theirs) = wire.socket.getsockname(), wire.socket.getpeername()
    for row in map(str.split, Path("/proc/net/tcp").read_text().splitlines()):
        if row[1].endswith(f":{theirs:04X}") and row[2].endswith(f":{ours:04X}"):
            return row[4].endswith(":00000000")
    return False


def admin():
    return {"Authorization": f"Bearer {Tokens()('admin')}"}


def open_run(url):
    """Trigger a run that no scheduler starts; return its path."""
    path = "/rest_api/v1/dags/manual/dagRuns"
    made = httpx.post(f"{url}{path}", json={"logical_date": None}, headers=admin(), timeout=60).json()
    return f"{path}/{made['dag_run_id']}"
