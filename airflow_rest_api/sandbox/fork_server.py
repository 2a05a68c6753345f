"""The fork server: how it is started, in an environment that has nothing of this service."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# What the server may take to import Airflow on a busy machine.
_START_SECONDS = 60.0
_PACKAGES = (f"{os.sep}site-packages", f"{os.sep}dist-packages")
_PROGRAM = "airflow_rest_api.sandbox.child"


class SandboxUnavailable(Exception):
    """No process can be started in which a file could be parsed."""


@dataclass(frozen=True)
class ForkServer:
    """A server that runs: the socket that it reads requests from, and its own folder."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    home: Path

    def end(self) -> None:
        """End the server and all its cells, and wait for that."""
        self.channel.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def started() -> ForkServer:
    """Start a server; raises `SandboxUnavailable`."""
    home = Path(tempfile.mkdtemp(prefix="rest-api-sandbox-"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(home)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(home),
            cwd=home,
            start_new_session=True,
        )
    server = ForkServer(process, ours, home)
    ours.settimeout(_START_SECONDS)
    try:
        is_ready = ours.recv(16) == b"ready"
    except OSError:
        is_ready = False
    if not is_ready:
        server.end()
        raise SandboxUnavailable("the fork server did not start")
    ours.settimeout(None)
    return server


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of the sandbox, made of nothing: no address, no key, no password of this Airflow."""
    return {
        "PATH": os.defpath,
        # Those of a user are not found by another home.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith(_PACKAGES)),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # Else libraries for numbers start as many threads as there are processors, which may be too many.
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
        # All frames, so that the line in the caller's file is among them.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "True",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "100",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def said(module: str, folder: Path) -> bytes | None:
    """Return what a module of the sandbox wrote when it was run, None if it failed or did not end in time."""
    try:
        found = subprocess.run(
            [sys.executable, "-m", f"{_PROGRAM}.{module}", str(folder)],
            env=_environment(folder),
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=_START_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None
    return found.stdout if found.returncode == 0 else None
