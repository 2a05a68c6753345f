"""A server that is asked to stop: what waits returns at once, what works goes on to its end."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import httpx
import pytest

from airflow_rest_api.services import import_error
from airflow_rest_api.web import stopping, waiting
from tests.handlers.test_task_instance_log_follow import LINES, Task
from tests.support.lines import Lines
from tests.support.old_running import printed
from tests.web import small
from tests.web.small import operation

pytestmark = pytest.mark.slow

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
POLLS = 10


@pytest.fixture
def served(rest):
    with small.stoppable(small.config(rest.http.app)) as (address, stop):
        host, port = address
        yield f"http://{host}:{port}", stop


@pytest.fixture
def client(served, token):
    headers = {"Authorization": f"Bearer {token('admin')}"}
    with httpx.Client(base_url=served[0], headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def waiters(monkeypatch):
    """The objects that are waited for."""
    found = []
    known = waiting.Poller.ended

    async def ended(self, what):
        found.append(what)
        await known(self, what)

    monkeypatch.setattr(waiting.Poller, "ended", ended)
    return found


@pytest.fixture
def slow(monkeypatch):
    """`get_import_errors` in two steps: it has begun, and it may end."""
    begun, may_end, known = threading.Event(), threading.Event(), import_error.get_import_errors

    def slowly(*given, **named):
        begun.set()
        assert may_end.wait(30)
        return known(*given, **named)

    monkeypatch.setattr(import_error, "get_import_errors", slowly)
    return begun, may_end


@pytest.mark.in_process
@pytest.mark.usefixtures("restored_database")
class TestStopping:
    def test_what_waits_returns_at_once_and_what_works_ends(
        self, served, client, waiters, slow, new_run, home
    ):
        stop, (begun, may_end) = served[1], slow
        run = new_run("manual", state="running")
        daily = new_run("etl", logical_date=MARCH, state="running", task_states={"start": "success"})
        old = {"dag_id": "etl", "task_id": "load.orders", "execution_date": MARCH.isoformat()}
        with ThreadPoolExecutor(POLLS + 2) as pool:
            polls = [
                pool.submit(client.get, f"/rest_api/v1{run.path}", params={"wait": 60}) for _ in range(POLLS)
            ]
            call = pool.submit(client.get, "/admin/rest_api/api", params={"api": "run", **old})
            work = pool.submit(client.get, "/rest_api/v1/importErrors")
            assert small.until(lambda: len(waiters) == POLLS + 1, 30)
            assert begun.wait(30)
            stop()
            states = [(poll.result(30).status_code, poll.result().json()["state"]) for poll in polls]
            assert states == [(200, "running")] * POLLS
            assert (
                f"The task 'load.orders' of the run '{daily.dag_run_id}' goes on"
                in printed(call.result(30))[1]
            )
            assert small.until(lambda: is_closed(served[0]))
            assert not work.done()
            may_end.set()
            assert work.result(30).status_code == 200

    def test_a_log_that_is_followed_ends_with_the_reason(self, served, client, new_run, home):
        run = new_run("manual", state="running", task_states={"first": "running"})
        task = Task(run, home)
        task.alter(hostname="", pid=None)
        task.write("one")
        address = f"/rest_api/v1{task.path}/1"
        with client.stream("GET", address, params={"follow": True}, headers=LINES) as answer:
            lines = Lines(answer)
            lines.until("one")
            served[1]()
            assert lines.until_cut_off() == ["The server stops; the log may go on."]


def is_closed(url):
    """Whether nothing accepts connections at the address."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class TestWhatDoesNotEnd:
    """The server cancels what goes on for longer than it waits."""

    def test_the_response_says_so(self, monkeypatch, metadata_database):
        begun, may_end = threading.Event(), threading.Event()

        def get_slowly():
            begun.set()
            return {"in time": may_end.wait(30)}

        paths = {"/slow": {"get": operation("get_slowly")}}
        app = small.application(monkeypatch, paths, {"get_slowly": get_slowly})
        config = small.config(app)
        config.timeout_graceful_shutdown = 1
        with small.stoppable(config) as ((host, port), stop), ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.get, f"http://{host}:{port}/rest_api/v1/slow", timeout=60)
            assert begun.wait(30)
            stop()
            try:
                got = answer.result(30)
            finally:
                may_end.set()
        assert (got.status_code, got.headers["retry-after"]) == (503, "5")
        assert got.json()["title"] == "The service is stopping"


def test_a_server_that_was_asked_to_stop_is_noticed():
    class Server:
        should_exit = False

        def handle_exit(self, *_):
            self.should_exit = True

    server, known = Server(), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        assert not stopping.is_stopping()
        signal.raise_signal(signal.SIGTERM)
        assert stopping.is_stopping()
    finally:
        signal.signal(signal.SIGTERM, known)
