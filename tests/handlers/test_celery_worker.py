"""Celery's workers, and Celery's components, as far as no worker is needed; `tests/live/test_celery.py` has some."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from unittest import mock

import pytest

from airflow_rest_api.services.components import (
    catalogue,
    celery_control,
    celery_rows,
    celery_setup,
    celery_signs,
)
from tests.conftest import application, in_process
from tests.support import clients, environment

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

WORKERS = "/components/celery-worker/workers"
# Eight threads are the first to need Celery, all at the same time.
AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from airflow_rest_api.services.components import celery_control

barrier = Barrier(8)

def ask(_):
    barrier.wait()
    try:
        with celery_control.opened():
            return "open"
    except Exception as fault:
        return type(fault).__name__

with ThreadPoolExecutor(8) as pool:
    print(set(pool.map(ask, range(8))))
"""
CHANGES = (
    ("POST", f"{WORKERS}/celery@a/shutdown"),
    ("PUT", f"{WORKERS}/celery@a/queues/extra"),
    ("DELETE", f"{WORKERS}/celery@a/queues/extra"),
)


@pytest.fixture(scope="module")
def able(token):
    """A client of a service whose administrator has named Celery's components."""
    named = {"AIRFLOW__REST_API__COMPONENTS_ENABLED": "celery-worker,celery-flower"}
    with mock.patch.dict(os.environ, named):
        built = application()
    with in_process(built) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture
def with_celery(monkeypatch):
    """Airflow's executor is Celery's; nobody listens where the broker should be."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,CeleryExecutor")
        address = f"redis://:a-password-of-the-broker@127.0.0.1:{taken.getsockname()[1]}/0"
        settings = {"broker_url": address, "broker_transport_options": {}}
        celery_control._application.cache_clear()
        with mock.patch(
            "airflow.providers.celery.executors.celery_executor_utils.get_celery_configuration",
            return_value=settings,
        ):
            yield
        celery_control._application.cache_clear()


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def started(client, component_name, **options):
    return client.post(
        f"/components/{component_name}/start", params={"dry_run": "true"}, json={"options": options}
    )


class TestGetCeleryWorkers:
    def test_without_celery_there_is_nobody_to_ask(self, rest):
        answer = rest.get(WORKERS)
        assert kind(answer) == (409, "celery-not-configured")
        assert "[core] executor" in answer.json()["detail"]
        with mock.patch.object(celery_setup, "find_spec", return_value=None):
            assert "not installed" in rest.get(WORKERS).json()["detail"]

    def test_it_takes_the_right_to_see_jobs(self, rest):
        assert kind(rest.get(WORKERS, role="nobody")) == (403, "denied")
        assert kind(rest.get(WORKERS, role="viewer")) == (409, "celery-not-configured")

    def test_a_broker_that_is_away_is_told_soon_and_without_its_address(self, rest, with_celery):
        begun = time.monotonic()
        answer = rest.get(WORKERS)
        assert kind(answer) == (503, "broker-unavailable")
        assert "a-password" not in answer.text
        assert "127.0.0.1" not in answer.text
        assert time.monotonic() - begun < 5

    def test_the_first_calls_may_come_at_the_same_time(self, home):
        variables = {**os.environ, "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", AT_ONCE],
            cwd=environment.ROOT,
            env=environment.without_coverage(variables),
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.splitlines()[-1] == "{'BrokerUnavailable'}"


class TestChanges:
    """`shut_down_celery_worker`, `add_celery_queue` and `remove_celery_queue`."""

    @pytest.mark.parametrize(("method", "path"), CHANGES)
    def test_they_take_the_switch_the_power_and_a_broker(self, rest, able, with_celery, method, path):
        assert kind(rest.request(method, path)) == (403, "switch-off")
        assert kind(able.request(method, path, role="op")) == (403, "power-missing")
        assert kind(able.request(method, path)) == (503, "broker-unavailable")

    def test_the_component_has_to_be_named_and_celery_to_be_there(self, able, token):
        with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__COMPONENTS_ENABLED": "scheduler"}):
            built = application()
        with in_process(built) as http:
            others = clients.Client(http, clients.REST, token)
            for method, path in CHANGES:
                assert kind(able.request(method, path)) == (409, "celery-not-configured")
                assert kind(others.request(method, path)) == (403, "component-not-enabled")

    @pytest.mark.parametrize("name", ["-q", "a,b", "a%20b", "a%0A", "x" * 101, "$(x)", "%2e%2e"])
    def test_a_queue_has_a_plain_name(self, able, name):
        for method in ("PUT", "DELETE"):
            assert kind(able.request(method, f"{WORKERS}/celery@a/queues/{name}")) == (400, "malformed")


class TestComponents:
    def test_a_worker_is_started_as_airflows_command_has_it(self, able, with_celery):
        options = {
            "queues": ["default", "extra.1"],
            "concurrency": 4,
            "autoscale": "8,2",
            "celery_hostname": "second@here",
            "skip_serve_logs": True,
            "without_mingle": False,
        }
        answer = started(able, "celery-worker", **options)
        assert answer.json()["items"][0]["command"] == [
            *("airflow", "celery", "worker", "--queues=default,extra.1", "--concurrency=4"),
            *("--autoscale=8,2", "--celery-hostname=second@here", "--skip-serve-logs"),
        ]

    @pytest.mark.parametrize(
        "option",
        [
            {"celery_hostname": "a@b@c"},
            {"celery_hostname": "%h"},
            {"autoscale": "2,8"},
            {"autoscale": "0,0"},
            {"team": "blue"},
            {"hostname": "a"},
            {"broker_api": "http://a"},
        ],
    )
    def test_what_no_worker_takes_is_refused(self, able, with_celery, option):
        assert started(able, "celery-worker", **option).status_code == 400

    def test_flower_is_for_this_host_and_for_those_with_a_password(self, able, with_celery, monkeypatch):
        for credential in ("", "watcher", "watcher:", ":secret"):
            monkeypatch.setenv("AIRFLOW__CELERY__FLOWER_BASIC_AUTH", credential)
            answer = started(able, "celery-flower")
            assert kind(answer) == (409, "component-unfit")
            assert "flower_basic_auth" in answer.json()["detail"]
        monkeypatch.setenv("AIRFLOW__CELERY__FLOWER_BASIC_AUTH", "watcher:a-flower-password,other:one")
        answer = started(able, "celery-flower", url_prefix="a/b")
        command = ["airflow", "celery", "flower", "--hostname=127.0.0.1", "--url-prefix=a/b"]
        assert answer.json()["items"][0]["command"] == command
        assert "a-flower-password" not in able.get("/components/celery-flower").text
        for option in ({"basic_auth": "a:b"}, {"flower_conf": "/etc/passwd"}, {"broker_api": "http://a"}):
            assert kind(started(able, "celery-flower", **option)) == (400, "malformed")

    def test_neither_starts_without_celery(self, able):
        for name in ("celery-worker", "celery-flower"):
            answer = started(able, name)
            assert kind(answer) == (409, "component-unfit")
            assert answer.json()["detail"].endswith(able.get(f"/components/{name}").json()["why_not"])

    def test_options_are_those_of_celerys_commands(self):
        from airflow.providers.celery.cli.definition import CELERY_COMMANDS

        known = {command.name: command for command in CELERY_COMMANDS}
        for recipe in (catalogue.RECIPES["celery-worker"], catalogue.RECIPES["celery-flower"]):
            flags = {flag for argument in known[recipe.command[-1]].args for flag in argument.flags}
            assert {f"--{name.replace('_', '-')}" for name in recipe.options} <= flags

    @pytest.mark.parametrize(
        ("executor", "expected"),
        [
            ("CeleryExecutor", True),
            ("LocalExecutor", False),
            ("LocalExecutor,CeleryExecutor", True),
            ("LocalExecutor;team1=CeleryExecutor", True),
            ("my_celery.Executor", False),
            ("mine.FastCeleryExecutor:fast", True),
        ],
    )
    def test_celery_is_one_of_several_executors(self, monkeypatch, executor, expected):
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
        assert (celery_setup.lack() is None) == expected

    def test_a_worker_has_the_name_that_celery_gives_it(self):
        from celery.utils.nodenames import default_nodename

        for wished in (None, "first", "first@here"):
            wishes = {"celery_hostname": wished} if wished else {}
            assert celery_signs.worker_name(wishes) == default_nodename(wished)


class TestRows:
    """What is made of what workers say, whatever that is."""

    def test_what_is_not_said_in_time_is_not_known(self):
        control = mock.Mock()
        control.ask_all.side_effect = lambda command, expected=None: {
            "stats": [
                celery_control.Answer("a", {"pid": 1, "total": {"x": 2}}),
                celery_control.Answer("b", "?"),
            ],
            "active": [celery_control.Answer("b", [{}, {}])],
            "reserved": [celery_control.Answer("a", {"error": "no"})],
        }.get(command, [])
        first, second = celery_rows.of_all(control)
        assert (first["worker_name"], first["pid"], first["received_tasks"], first["queues"]) == (
            "a",
            1,
            2,
            [],
        )
        assert (first["active_tasks"], first["reserved_tasks"], first["pool_size"]) == (None, None, None)
        assert (second["active_tasks"], second["pid"], second["received_tasks"]) == (2, None, 0)
