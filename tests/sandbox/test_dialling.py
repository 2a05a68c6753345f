"""What a test of a connection can dial, see and leave behind, whatever its hook does."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from airflow_rest_api.sandbox.addresses import Opening
from airflow_rest_api.sandbox.box import DIALS_AT_ONCE, Sandbox, SandboxBusy, SandboxUnavailable
from airflow_rest_api.sandbox.child import guard
from airflow_rest_api.sandbox.replies import Reply, read
from tests.sandbox import restricted, stray_hooks
from tests.sandbox.test_hostile import strays
from tests.support.sinks import redirect, sink

SECONDS, BRIEF_SECONDS = 20.0, 2.5
KEPT = ("a loopback address",)
# A public address that nobody answers at (RFC 5737), so that a test which dials it is not heard of anywhere.
NOWHERE = "192.0.2.1"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder of packages with the provider of the tests, found by whoever is started meanwhile."""
    folder = stray_hooks.installed(tmp_path_factory.mktemp("stray"))
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def box(packages, home):
    found = Sandbox(hidden=[home], dial_seconds=SECONDS)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def brief_box(packages):
    found = Sandbox(dial_seconds=BRIEF_SECONDS)
    found.start()
    yield found
    found.stop()


def outcome(box, deed=None, *, openings=(), own=(), **fields):
    """What came of the test of a connection; of one of ours, `deed` says what its hook does."""
    made = {"conn_type": "stray", "schema": deed} if deed else {}
    return box.dial({"conn_id": "made_up", **made, **fields}, openings=openings, own=own)


class TestWhatIsDialled:
    @pytest.mark.parametrize(
        "deed",
        [
            *("dial", "dial_patiently", "dial_mapped", "dial_in_c", "dial_fast"),
            *("dial_in_thread", "dial_in_child", "dial_in_loop"),
        ],
    )
    def test_no_hook_reaches_what_is_denied_and_each_reaches_what_is_allowed(self, box, deed):
        with sink() as met:
            kept = outcome(box, deed, login=f"127.0.0.1:{met.port}")
            assert (met.connections, kept.reason, kept.status) == (0, "done", False)
            if deed == "dial_fast":
                # Also where it is allowed: it is another way, which the caller does not need.
                assert os.strerror(errno.EOPNOTSUPP) in kept.message
                return
            assert kept.denied == KEPT
            reached = outcome(box, deed, login=f"127.0.0.1:{met.port}", openings=[("127.0.0.1/32", met.port)])
            assert (reached.status, reached.message, reached.denied) == (True, "dialled", ())
            assert met.connections == 1

    def test_nothing_is_sent_without_dialling(self, box):
        with sink(kind=socket.SOCK_DGRAM) as met:
            kept = outcome(box, "send", login=f"127.0.0.1:{met.port}")
            assert (kept.status, kept.denied, met.connections) == (False, KEPT, 0)
            assert outcome(
                box, "send", login=f"127.0.0.1:{met.port}", openings=[("127.0.0.0/8", None)]
            ).status
            time.sleep(0.1)
            assert met.connections == 2

    def test_sockets_of_this_machine_are_out_of_reach(self, box):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"\0stray-{os.getpid()}")
            server.listen()
            kept = outcome(box, "dial_abstract", login=f"stray-{os.getpid()}")
            assert (kept.status, kept.denied) == (False, (guard.LOCAL_SOCKET,))
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1"),
            *("::1", "[::1]", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1"),
            *("localhost", "LOCALHOST", "0.0.0.0", "0", "::", "user@localhost", "localhost/path"),
            *("http://127.0.0.1", "http://user:pw@[::1]:1/path", "192.0.2.1,localhost", "localhost:1"),
            *("169.254.169.254", "169.254.1.1", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"),
            *("100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "ff02::1"),
        ],
    )
    def test_a_connection_that_names_what_is_denied_is_refused_before_its_hook(self, box, host):
        with sink() as met:
            found = outcome(box, "dial", host=host, port=met.port, login=f"127.0.0.1:{met.port}")
            assert found.refused
            assert (found.status, found.denied, met.connections) == (None, (), 0)

    @pytest.mark.parametrize(
        "extra",
        [
            '{"hostaddr": "127.0.0.1"}',
            '{"endpoint_url": "http://169.254.169.254/latest"}',
            '{"proxies": {"https": "http://localhost:3128"}}',
            '{"client": {"servers": ["192.0.2.1", "127.0.0.1:9092"]}}',
            '{"text": "go by http://[::1]:8080/ please"}',
        ],
    )
    def test_hosts_in_the_extra_are_looked_at_as_well(self, box, extra):
        assert outcome(box, "nothing", host=NOWHERE, extra=extra).refused

    def test_private_networks_are_allowed_and_what_means_nothing_is_left_to_the_hook(self, box):
        for host in (
            "10.255.255.1",
            "172.16.0.1",
            "192.168.7.7",
            "fd12::1",
            "no.such.name.invalid",
            "",
            "/tmp/x",
        ):
            found = outcome(
                box, "nothing", host=host, extra='{"host": "not a host", "url": "http://[", "a": [1]}'
            )
            assert (found.refused, found.status, found.message) == (None, False, "None")

    def test_the_addresses_of_this_machine_and_airflows_own_are_denied(self, box):
        mine = next(
            address.address
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family == socket.AF_INET and not address.address.startswith("127.")
        )
        assert outcome(box, "nothing", host=mine).refused == mine
        assert outcome(box, "nothing", host="10.255.255.1", own=["10.255.255.1"]).refused == "10.255.255.1"
        assert not outcome(box, "nothing", host=mine, openings=[(f"{mine}/32", None)]).refused
        kept = outcome(box, "dial", login="10.255.255.1:5432", own=["10.255.255.1"])
        assert kept.denied == ("Airflow's own database or broker",)

    def test_an_opening_is_for_its_port_alone(self, box):
        with sink() as met, sink() as other:
            openings = [("127.0.0.1/32", met.port)]
            assert outcome(box, "nothing", host="127.0.0.1", port=other.port, openings=openings).refused
            kept = outcome(box, "dial", host="127.0.0.1", login=f"127.0.0.1:{other.port}", openings=openings)
            assert (kept.status, kept.denied, other.connections) == (False, KEPT, 0)

    def test_a_name_that_stands_for_something_else_by_now_is_not_dialled(self, box):
        with sink() as met:
            found = outcome(box, "resolve_again", host=NOWHERE, login=f"127.0.0.1:{met.port}")
            assert (found.status, found.denied, met.connections) == (False, KEPT, 0)

    def test_a_redirect_leads_to_nothing_that_is_denied(self, box):
        with sink() as hidden, sink(redirect(hidden.port)) as server:
            openings = [("127.0.0.1/32", server.port)]
            found = outcome(box, "follow", host="127.0.0.1", port=server.port, openings=openings)
            assert (found.status, found.denied) == (False, KEPT)
            assert (server.connections, hidden.connections) == (1, 0)

    def test_the_drivers_of_postgresql_are_guarded(self, box):
        with sink() as met:
            fields = {"conn_type": "postgres", "port": met.port, "password": "made-up-password"}
            kept = outcome(box, host=NOWHERE, extra='{"hostaddr": "127.0.0.1"}', **fields)
            assert (kept.refused, met.connections) == ("127.0.0.1", 0)
            kept = outcome(box, **fields)
            assert (kept.status, kept.denied) == (False, (guard.LOCAL_SOCKET,))
            found = outcome(box, host="127.0.0.1", openings=[("127.0.0.1/32", None)], **fields)
            assert found.status is False
            assert met.connections >= 1

    def test_a_process_that_nobody_can_guard_tests_nothing(self, box, monkeypatch):
        said = {"reason": "done", "strength": "weak", "result": '{"unguarded": true}\n', "output": ""}
        assert read(said) is None
        monkeypatch.setattr(box, "_ask", lambda *_: said)
        with pytest.raises(SandboxUnavailable):
            outcome(box, "nothing")

    @restricted.needs_landlock
    def test_it_is_guarded_where_namespaces_are_refused(self, packages):
        with sink() as met:
            command = restricted.command("-c", PARTIAL, str(packages), str(met.port))
            found = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=restricted.REPOSITORY
            )
            assert found.stdout.splitlines() == ["partial", f"False {KEPT}", "True ()"], found.stderr
            assert met.connections == 1


PARTIAL = """
import sys
sys.path.insert(0, sys.argv[1])
from airflow_rest_api.sandbox.box import Sandbox
box = Sandbox()
connection = {"conn_id": "a", "conn_type": "stray", "schema": "dial_patiently", "login": "127.0.0.1:" + sys.argv[2]}
found = [box.dial(connection, openings=openings, own=[]) for openings in ([], [("127.0.0.1/32", None)])]
box.stop()
print(box.strength())
for reply in found:
    print(reply.status, reply.denied)
"""


class TestWhatIsLeft:
    @pytest.mark.parametrize(
        ("deed", "reason"),
        [
            *(("hang", "timeout"), ("hang_with_children", "timeout"), ("shout", "output")),
            *(("leave_by_exit", "exit"), ("crash", "crash"), ("leave", "done"), ("eat", "done")),
        ],
    )
    def test_whatever_a_hook_does_ends_in_time_with_all_that_it_started(self, box, brief_box, deed, reason):
        used = brief_box if reason == "timeout" else box
        server, begin = used._server, time.monotonic()
        found = outcome(used, deed, password="kept-from-all")
        assert (found.reason, found.status or False) == (reason, deed == "leave")
        assert time.monotonic() - begin < (BRIEF_SECONDS if used is brief_box else SECONDS) + 5
        assert strays(used) == []
        assert (used._server, server.process.poll()) == (server, None)

    def test_it_ends_with_the_service(self, packages, tmp_path):
        program = (
            f"import sys\nsys.path.insert(0, {str(packages)!r})\n"
            "from airflow_rest_api.sandbox.box import Sandbox\n"
            "box = Sandbox()\nbox.start()\nprint(box._server.process.pid, flush=True)\n"
            "box.dial({'conn_id': 'a', 'conn_type': 'stray', 'schema': 'hang_with_children'}, openings=[], own=[])"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as service:
            server = psutil.Process(int(service.stdout.readline()))
            deadline = time.monotonic() + 10
            # The warden, the first process inside, and the hook with its three.
            while len(server.children(recursive=True)) < 6 and time.monotonic() < deadline:
                time.sleep(0.05)
            family = [server, *server.children(recursive=True)]
            service.send_signal(signal.SIGKILL)
        assert len(family) == 7
        _, alive = psutil.wait_procs(family, timeout=10)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []

    def test_who_finds_no_place_is_told_at_once(self, brief_box):
        with ThreadPoolExecutor(DIALS_AT_ONCE) as pool:
            going = [pool.submit(outcome, brief_box, "hang") for _ in range(DIALS_AT_ONCE)]
            time.sleep(0.5)
            begin = time.monotonic()
            with pytest.raises(SandboxBusy):
                outcome(brief_box, "nothing")
            assert time.monotonic() - begin < 1
            assert {one.result().reason for one in going} == {"timeout"}
        assert outcome(brief_box, "nothing").reason == "done"


class TestWhatIsSeen:
    def test_nothing_of_the_service_is_there(self, box, home):
        found = outcome(box, "look", login=str(home), password="only-for-the-hook")
        assert found.status is False, "the folder of Airflow is there"
        own = [
            value for name, value in os.environ.items() if name.startswith("AIRFLOW__") and len(value) > 15
        ]
        assert own
        assert not any(value in found.message for value in own)
        # Nobody else sees what the hook is given, either: it is in no environment that a process was started with.
        assert "only-for-the-hook" not in found.message

    def test_a_hook_gets_all_of_its_connection(self, box):
        fields = {
            "host": "h.invalid",
            "login": "me",
            "password": "p@ss/word",
            "port": 7,
            "extra": '{"a": "b"}',
        }
        found = outcome(box, "tell", **fields)
        assert "p@ss/word" in found.message
        assert '{"a": "b"}' in found.message
        assert len(found.message) == 4000

    def test_an_unknown_type_and_a_hook_without_a_test_are_told_as_airflow_does(self, box):
        assert outcome(box, conn_type="no-such").message == 'Unknown hook type "no-such"'
        said = outcome(box, conn_type="git", host="https://example.invalid/x.git").message
        assert re.fullmatch(r"Hook \w+ doesn't implement or inherit test_connection method", said)


def test_what_is_written_in_place_of_an_answer_is_no_answer():
    for result in ("", "no json", "[]", '{"status": "yes", "message": "x"}', '{"status": true}', "{}{}"):
        found = read({"reason": "done", "result": result, "denied": ["x"]})
        assert found == Reply("exit", denied=("x",))
    assert read({"reason": "done", "result": '{"status": true, "message": "\\ud800"}'}) == Reply(
        "done", True, "?"
    )


@pytest.mark.parametrize(
    ("text", "name", "network", "port"),
    [
        ("warehouse.internal", "warehouse.internal", None, None),
        ("Warehouse:5432", "warehouse", None, 5432),
        ("127.0.0.1", None, "127.0.0.1/32", None),
        ("127.0.0.1:80", None, "127.0.0.1/32", 80),
        ("127.0.0.0/8:80", None, "127.0.0.0/8", 80),
        ("::1", None, "::1/128", None),
        ("[::1]", None, "::1/128", None),
        ("[::1]:80", None, "::1/128", 80),
        ("fe80::/10", None, "fe80::/10", None),
    ],
)
def test_an_opening_is_a_host_or_a_network_at_a_port_or_any(text, name, network, port):
    found = Opening.read(text)
    assert (found.name, found.network and str(found.network), found.port) == (name, network, port)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "a b",
        "10.0.0.1/8",
        "127.0.0.1/33",
        "a:0",
        "a:65536",
        "0x7f.1",
        "2130706433",
        "http://a",
        "*",
        "a/8",
    ],
)
def test_what_is_no_opening_is_a_fault(text):
    with pytest.raises(ValueError, match=re.escape(text)):
        Opening.read(text)


def test_a_name_is_pinned_to_what_it_stands_for():
    assert ("127.0.0.1", 80) in Opening.read("localhost:80").pinned()
    assert Opening.read("no.such.name.invalid").pinned() == []


def test_a_temporary_folder_is_not_left(box, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert outcome(box, "nothing").reason == "done"
    assert list(Path(tmp_path).iterdir()) == []
