"""Old calls that start Airflow's own processes, over HTTP; the processes are cheap ones."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from airflow_rest_api.services.components import permits
from airflow_rest_api.settings import COMPONENTS
from tests.conftest import application, in_process
from tests.support import component_processes, old_calls

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

DAG = "example_bash_operator"
PRINCIPAL = {"principal": "airflow@EXAMPLE.COM"}
# What each call needs, and the words with which its component is started then.
PLAIN = {
    "kerberos": (PRINCIPAL, ["-m", "airflow", "kerberos", "airflow@EXAMPLE.COM"]),
    "worker": ({}, ["-m", "airflow", "celery", "worker"]),
    "flower": ({}, ["-m", "airflow", "celery", "flower", "--hostname=127.0.0.1"]),
    "scheduler": ({}, ["-m", "airflow", "scheduler"]),
    "serve_logs": ({}, ["-m", "airflow_rest_api.log_server", "--host=127.0.0.1"]),
}
COMPONENT = {"kerberos": "kerberos", "worker": "celery-worker", "flower": "celery-flower"}
COMPONENT |= {"scheduler": "scheduler", "serve_logs": "serve-logs"}
OF_A_DAEMON = {"pid": "/tmp/p", "daemon": "on", "stdout": "/tmp/o", "stderr": "/tmp/e", "log-file": "/tmp/l"}


@pytest.fixture(scope="module")
def able(token):
    """Old calls of a service whose administrator has named all components."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__COMPONENTS_ENABLED": ",".join(COMPONENTS)}):
        built = application()
    with in_process(built) as http:
        yield old_calls.OldCalls(http, token)


@pytest.fixture
def started(tmp_path, monkeypatch):
    """What was started, on an installation that lacks nothing."""
    monkeypatch.setattr(permits, "_lack", lambda recipe: None)
    with component_processes.fake(tmp_path) as found:
        yield found


def ignored(names):
    return [f"The argument '{name}' has no meaning on Airflow 3 and was ignored." for name in names]


def printed(answer):
    """What an answer says was printed: on the standard output, and the lines of the error output."""
    told = answer.json()
    assert (answer.status_code, told["status"], told["http_response_code"]) == (200, "OK", 200), told
    assert told["output"]["stdin"] == ""
    return told["output"]["stdout"], told["output"]["stderr"].splitlines()


class TestEachOfThem:
    @pytest.mark.parametrize("name", PLAIN)
    def test_it_is_started_and_told_at_once(self, able, started, name):
        arguments, words = PLAIN[name]
        answer = able("clairvoyant", name, arguments)
        assert printed(answer) == ("exit_code: 0", [])
        assert answer.json()["airflow_cmd"] == " ".join(["airflow", name, *arguments.values()])
        assert started.settled(1) == [words]

    @pytest.mark.parametrize("name", PLAIN)
    def test_what_runs_already_is_told_as_a_failing_command(self, able, started, name):
        arguments, _ = PLAIN[name]
        assert printed(able("clairvoyant", name, form=arguments))[0] == "exit_code: 0"
        stdout, (stderr,) = printed(able("ebay", name, arguments))
        assert (stdout, stderr.partition(" is ")[0]) == ("exit_code: 1", f"The component '{COMPONENT[name]}'")
        assert len(started.settled(1)) == 1

    @pytest.mark.parametrize("name", [name for name in PLAIN if name != "serve_logs"])
    def test_what_the_supervisor_does_is_named(self, able, started, name):
        arguments, words = PLAIN[name]
        answer = able("clairvoyant", name, {**arguments, **OF_A_DAEMON})
        assert printed(answer) == ("exit_code: 0", ignored(OF_A_DAEMON))
        assert started.settled(1) == [words]
        assert (
            "--pid /tmp/p --daemon --stdout /tmp/o --stderr /tmp/e --log-file /tmp/l"
            in answer.json()["airflow_cmd"]
        )

    def test_what_may_not_be_started_is_refused_in_the_envelope(self, old, able, started):
        for name, (arguments, _) in PLAIN.items():
            for answer in (
                old("clairvoyant", name, arguments),
                able("clairvoyant", name, arguments, role="op"),
            ):
                told = answer.json()
                assert (answer.status_code, told["status"], told["http_response_code"]) == (403, "ERROR", 403)
            assert "components_enabled" in old("clairvoyant", name, arguments).json()["output"]
            assert able("clairvoyant", name, arguments, role=None).status_code == 401
            assert able("clairvoyant", name, arguments, method="HEAD").status_code == 405
            ahead = able("clairvoyant", name, arguments, headers={"Sec-Purpose": "prefetch"})
            assert ahead.status_code == 403
        assert started.arguments() == []

    def test_only_what_is_named_may_be_started(self, old_with, started):
        some = old_with(components_enabled="scheduler")
        answer = some("clairvoyant", "serve_logs")
        assert (answer.status_code, answer.json()["status"]) == (403, "ERROR")
        assert "'serve-logs' is switched off" in answer.json()["output"]
        assert started.arguments() == []

    def test_what_this_installation_lacks_is_printed(self, able):
        for name in ("kerberos", "worker", "flower"):
            stdout, (stderr,) = printed(able("clairvoyant", name, PLAIN[name][0]))
            assert (stdout, "cannot be started here" in stderr) == ("exit_code: 1", True)

    def test_two_at_once_start_one(self, able, started):
        with ThreadPoolExecutor(2) as pool:
            told = sorted(pool.map(lambda _: printed(able("clairvoyant", "scheduler"))[0], range(2)))
        assert told == ["exit_code: 0", "exit_code: 1"]
        assert len(started.settled(1)) == 1


class TestKerberos:
    def test_it_needs_a_principal(self, able, started):
        for given in ({}, {"principal": ""}, {"keytab": "/etc/x"}):
            answer = able("clairvoyant", "kerberos", given)
            assert answer.status_code == 400
            assert answer.json()["output"] == "The argument(s) ['principal'] are required"
        assert started.arguments() == []

    def test_a_keytab_from_elsewhere_is_not_taken(self, able, started):
        for keytab in ("/etc/passwd", "../x", "x\n"):
            stdout, (stderr, *_) = printed(able("clairvoyant", "kerberos", {**PRINCIPAL, "keytab": keytab}))
            assert (stdout, "'keytab'" in stderr) == ("exit_code: 1", True)
        for principal in ("--daemon", "-x", "a b", "$(id)"):
            assert printed(able("clairvoyant", "kerberos", {"principal": principal}))[0] == "exit_code: 1"
        assert started.arguments() == []


class TestWorker:
    def test_queues_and_concurrency_are_handed_on(self, able, started):
        answer = able("clairvoyant", "worker", {"queues": "a, b,", "concurrency": "4", "do_pickle": "false"})
        assert printed(answer) == ("exit_code: 0", ignored(["do_pickle"]))
        assert answer.json()["airflow_cmd"] == "airflow worker --do_pickle --queues a, b, --concurrency 4"
        assert started.settled(1) == [
            ["-m", "airflow", "celery", "worker", "--queues=a,b", "--concurrency=4"]
        ]

    def test_what_is_no_number_is_told_as_the_command_line_did(self, able, started):
        for text in ("many", "1.5", "1_0", "٣", "9" * 5000):
            stdout, (stderr,) = printed(able("clairvoyant", "worker", {"concurrency": text}))
            assert stdout == "exit_code: 1"
            assert stderr.startswith("error: argument --concurrency: invalid int value: ")
        for wrong in (
            {"concurrency": "0"},
            {"concurrency": "99999"},
            {"queues": ","},
            {"queues": "--x"},
            {"queues": "a;b"},
        ):
            assert printed(able("clairvoyant", "worker", wrong))[0] == "exit_code: 1"
        assert started.arguments() == []


class TestFlower:
    def test_name_and_port_are_handed_on(self, able, started):
        assert (
            printed(able("clairvoyant", "flower", {"hostname": "::1", "port": "5556"}))[0] == "exit_code: 0"
        )
        assert started.settled(1) == [["-m", "airflow", "celery", "flower", "--hostname=::1", "--port=5556"]]

    def test_an_address_with_a_password_goes_nowhere(self, old, able, started):
        secret = "http://guest:pass-of-the-broker@broker:15672/api/"
        for sent in (
            {"query": {"broker_api": secret}},
            {"form": {"broker_api": secret, "flower_conf": "/f"}},
        ):
            answer = able("clairvoyant", "flower", **sent)
            assert "pass-of-the-broker" not in answer.text
            assert "--broker_api ***" in answer.json()["airflow_cmd"]
            _, lines = printed(answer)
            # The second one is refused, and tells no more than that.
            assert "broker_api" in lines[0] or "form" in sent
        refused = old("clairvoyant", "flower", {"broker_api": secret})
        assert (refused.status_code, "pass-of-the-broker" in refused.text) == (403, False)
        assert started.settled(1) == [PLAIN["flower"][1]]


class TestScheduler:
    def test_rounds_are_handed_on_and_minus_one_is_none(self, able, started):
        sent = {"num_runs": "5", "dag_id": DAG, "subdir": "/dags", "run-duration": "60", "do_pickle": "on"}
        answer = able("clairvoyant", "scheduler", sent)
        assert printed(answer) == ("exit_code: 0", ignored(["dag_id", "subdir", "run-duration", "do_pickle"]))
        component_processes.stop_all()
        assert printed(able("clairvoyant", "scheduler", {"num_runs": "-1"})) == ("exit_code: 0", [])
        words = ["-m", "airflow", "scheduler"]
        assert sorted(started.settled(2)) == [words, [*words, "--num-runs=5"]]

    def test_its_dag_has_to_be_there(self, able, started):
        answer = able("clairvoyant", "scheduler", {"dag_id": "no_such"})
        assert answer.status_code == 400
        assert answer.json()["output"] == "The DAG ID 'no_such' does not exist"
        assert printed(able("clairvoyant", "scheduler", {"num_runs": "0"}))[0] == "exit_code: 1"
        assert started.arguments() == []


class TestServeLogs:
    def test_what_it_does_not_know_is_not_looked_at(self, able, started):
        assert printed(able("clairvoyant", "serve_logs", {"port": "1"})) == ("exit_code: 0", [])
        assert started.settled(1) == [PLAIN["serve_logs"][1]]
