"""What files that mean harm can do: nothing, for a bounded time, and nobody is left of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from airflow_rest_api.sandbox.box import Sandbox
from tests.sandbox import hostile, restricted
from tests.sandbox.conftest import BRIEF_SECONDS, SECONDS, written


def strays(sandbox):
    """Who is left of the server's children, a moment after the last of them has ended."""
    server = psutil.Process(sandbox._server.process.pid)
    deadline = time.monotonic() + 2
    while (found := server.children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.fixture
def nobody_is_left(sandbox):
    """After the test nothing is left of its cells, and the server is the one that it was."""
    sandbox.start()
    server = sandbox._server
    yield
    assert sandbox._server is server
    assert server.process.poll() is None
    assert strays(sandbox) == []


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("name", hostile.ENDED)
def test_what_does_not_end_is_ended(sandbox, brief_sandbox, tmp_path, name):
    kind, source = hostile.ENDED[name]
    box, seconds = (brief_sandbox, BRIEF_SECONDS) if kind == "timeout" else (sandbox, SECONDS)
    box.start()
    server = box._server
    begin = time.monotonic()
    found = box.validate(written(tmp_path, {"dag.py": hostile.HEAD + source}), bundle_name="drafts")
    assert [fault.kind for fault in found.errors] == [kind]
    assert found.dags == ()
    assert time.monotonic() - begin < seconds + 5
    assert strays(box) == []
    assert (box._server, server.process.poll()) == (server, None)


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_what_reaches_out_is_a_fault_of_the_file(parsed, nobody_is_left, home, port, tmp_path, name):
    source = hostile.REFUSED[name]
    source = (
        source.replace("{port}", str(port))
        .replace("{pid}", str(os.getpid()))
        .replace("{home!r}", repr(str(home)))
    )
    found = parsed(hostile.HEAD + source, beside={"neighbour.py": "kept"})
    assert [fault.kind for fault in found.errors] == ["import"]
    assert "reached" not in found.errors[0].message
    assert found.dags == ()
    assert (tmp_path / "bundle" / "neighbour.py").read_text() == "kept"
    assert (tmp_path / "sent" / "dag.py").read_text() == hostile.HEAD + source


def test_what_is_reached_would_be_told(parsed):
    (fault,) = parsed(hostile.HEAD + "raise ValueError('reached', open('/etc/passwd').read(4))").errors
    assert fault.message == "ValueError: ('reached', 'root')"


@pytest.mark.parametrize("name", hostile.STRAYS)
def test_who_is_left_behind_is_ended(parsed, nobody_is_left, name):
    found = parsed(hostile.HEAD + hostile.STRAYS[name] + "\n" + hostile.GOOD)
    assert [dag.dag_id for dag in found.dags] == ["good"]
    assert found.seconds < SECONDS


def test_there_are_no_secrets_in_the_environment(parsed, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "a-secret-of-the-service")
    monkeypatch.setenv("ANY_PASSWORD", "another-secret-of-the-service")
    source = (
        "from airflow.configuration import conf\nraise ValueError(' '.join(os.environ) + str(os.environ))"
    )
    (fault,) = parsed(hostile.HEAD + source).errors
    assert "secret-of-the-service" not in fault.message
    assert "FERNET" not in fault.message
    source = (
        "from airflow.configuration import conf\nraise ValueError(conf.get('database', 'sql_alchemy_conn'))"
    )
    (fault,) = parsed(hostile.HEAD + source).errors
    assert fault.message == "ValueError: sqlite:////nonexistent/airflow.db"


def test_other_processes_are_not_to_be_seen(parsed):
    source = "raise ValueError(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))"
    (fault,) = parsed(hostile.HEAD + source).errors
    assert fault.message == "ValueError: [1, 2]"


def test_a_bundle_shows_neither_its_history_nor_what_is_hidden(tmp_path):
    bundle = written(
        tmp_path / "bundle", {".git/config": "a", ".rest_api/journal": "b", "airflow.cfg": "c", "d": "d"}
    )
    source = (
        "paths = [os.path.join(where, name) for where, _, names in os.walk('/bundle') for name in names]\n"
        "raise ValueError({path: open(path).read() for path in sorted(paths)})"
    )
    box = Sandbox(hidden=[bundle / "airflow.cfg"], seconds=SECONDS)
    try:
        sent = written(tmp_path / "sent", {"dag.py": hostile.HEAD + source})
        (fault,) = box.validate(sent, bundle_name="drafts", beside=bundle).errors
    finally:
        box.stop()
    assert fault.message == "ValueError: {'airflow.cfg': '', 'd': 'd'}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_is_mounted_within_a_bundle_cannot_be_written_to(parsed, tmp_path):
    inner = tmp_path / "bundle" / "inner"
    inner.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", inner], check=True)
    try:
        (fault,) = parsed(hostile.HEAD + "open('/bundle/inner/x', 'w')", beside={"inner/y": ""}).errors
        assert "Read-only file system" in fault.message
    finally:
        subprocess.run(["umount", inner], check=True)


def test_a_link_that_was_sent_leads_nowhere_outside(parsed, tmp_path, home):
    source = hostile.HEAD + "raise ValueError(open('link').read())"
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "link").symlink_to(home / "airflow.cfg")
    (fault,) = parsed(source).errors
    assert fault.message.startswith("FileNotFoundError")


def test_a_service_that_keeps_its_files_to_itself_can_parse(parsed):
    mask = os.umask(0o077)
    try:
        box = Sandbox(seconds=SECONDS)
        box.start()
    finally:
        os.umask(mask)
    try:
        with tempfile.TemporaryDirectory() as folder:
            assert (
                box.validate(written(Path(folder), {"dag.py": hostile.GOOD}), bundle_name="drafts").errors
                == ()
            )
    finally:
        box.stop()


WITHOUT_NAMESPACES = """
import sys
from pathlib import Path
from airflow_rest_api.sandbox.box import Sandbox
box = Sandbox(seconds=3, is_weak_allowed=True)
found = [box.validate(Path(folder), bundle_name="drafts") for folder in sys.argv[1:]]
box.stop()
print(box.strength(), *(verdict.sandbox for verdict in found))
print(*(dag.dag_id for verdict in found for dag in verdict.dags))
print(*(fault.kind for verdict in found for fault in verdict.errors))
"""


@pytest.mark.parametrize(
    ("has_landlock", "strength"),
    [pytest.param(True, "partial", marks=restricted.needs_landlock), (False, "weak")],
)
def test_where_namespaces_are_refused_it_parses_and_states_its_strength(tmp_path, has_landlock, strength):
    sources = [hostile.GOOD, hostile.HEAD + "os._exit(0)", hostile.HEAD + "while True: pass"]
    sources.append(hostile.HEAD + hostile.STRAYS["a daemon"] + "\n" + hostile.GOOD)
    folders = [written(tmp_path / str(number), {"dag.py": text}) for number, text in enumerate(sources)]
    command = restricted.command("-c", WITHOUT_NAMESPACES, *map(str, folders), has_landlock=has_landlock)
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=restricted.REPOSITORY)
    strengths = " ".join([strength] * 5)
    assert found.stdout.splitlines() == [strengths, "good good", "exit timeout"], found.stderr


def test_it_runs_as_nobody_in_a_namespace_without_any_right(parsed):
    source = (
        "status = open('/proc/self/status').read()\n"
        "names = ('CapEff', 'CapPrm', 'NoNewPrivs')\n"
        "caps = [line.split()[1] for line in status.splitlines() if line.startswith(names)]\n"
        "raise ValueError([os.getuid() == 0, *caps])"
    )
    (fault,) = parsed(hostile.HEAD + source).errors
    assert fault.message == f"ValueError: [False, '{'0' * 16}', '{'0' * 16}', '1']"


def test_it_is_the_first_to_end_where_memory_runs_short(parsed):
    (fault,) = parsed(hostile.HEAD + "raise ValueError(open('/proc/self/oom_score_adj').read())").errors
    assert fault.message == "ValueError: 1000"


def test_one_file_cannot_speak_for_another(parsed):
    bad = hostile.HEAD + "os._exit(0)\n"
    found = parsed({"a.py": hostile.GOOD, "b.py": bad, "c.py": hostile.GOOD})
    assert [(fault.path, fault.kind) for fault in found.errors] == [("b.py", "exit")]
    assert [file.path for file in found.files] == ["a.py"]


def test_the_server_ends_with_the_service(home, tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom airflow_rest_api.sandbox.box import Sandbox\n"
        "box = Sandbox()\nbox.start()\nprint(box._server.process.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as service:
        server = psutil.Process(int(service.stdout.readline()))
        service.kill()
    psutil.wait_procs([server], timeout=5)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("path", ["/", "/tmp", "/dev", "/dev/shm"])
def test_a_python_path_with_a_writable_place_makes_nothing_of_the_machine_writable(path, tmp_path):
    name = f"written-{uuid4().hex}"
    source = f"# airflow dag\nfor folder in ('/tmp', '/dev/shm'): open(folder + '/{name}', 'w').close()\n"
    (tmp_path / "dag.py").write_text(source)
    box = Sandbox(python_path=[Path(path)], seconds=25)
    try:
        verdict = box.validate(tmp_path, bundle_name="drafts")
    finally:
        box.stop()
    left = [place for folder in ("/tmp", "/dev/shm") if (place := Path(folder, name)).exists()]
    for place in left:
        place.unlink()
    assert left == []
    assert verdict.files
