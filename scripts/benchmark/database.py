"""A PostgreSQL cluster of one's own: made in a folder, open to the loopback address, ended by its process id.

The tests that are marked for PostgreSQL use the same cluster: `with postgres_cluster() as url`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark import processes

DATABASE = "airflow"
USER = "airflow"
START_SECONDS = 30
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    # A throwaway cluster has nothing to lose in a crash, and background work would blur a measurement.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class NoPostgres(RuntimeError):
    """PostgreSQL's server programs are not installed, or cannot be run."""


@contextmanager
def postgres_cluster(folder: Path | None = None, *, cores: frozenset[int] = frozenset()) -> Iterator[str]:
    """Run a cluster and give the URL (`postgresql+psycopg2://…`) of its one empty database.

    Without `folder` the cluster lives in a temporary folder and is removed afterwards; with it, the cluster
    is made there when missing, and kept. Raises NoPostgres when PostgreSQL is missing or does not start.
    """
    binaries = find_binaries()
    account = _account()
    home = folder or Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if not (home / "password").exists():
            _create(binaries, home, account)
        with _running(binaries, home, account, cores) as port:
            password = (home / "password").read_text()
            yield f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: pg_config's, that on PATH, or the newest of Debian's."""
    found = [Path(name).resolve().parent for name in filter(None, [shutil.which("initdb")])]
    if shutil.which("pg_config"):
        answer = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        found.insert(0, Path(answer.stdout.strip()))
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    for path in found:
        if (path / "initdb").exists() and (path / "postgres").exists():
            return path
    raise NoPostgres("PostgreSQL's server programs were not found (on Debian: apt-get install postgresql)")


def _account() -> processes.Account | None:
    """Who runs PostgreSQL, which refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: processes.Account(entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    account = known.get("postgres") or known.get("nobody")
    if account is None:
        raise NoPostgres("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
    return account


def _create(binaries: Path, home: Path, account: processes.Account | None) -> None:
    home.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home / "data", ignore_errors=True)
    draft = home / "password.draft"
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(16))
    if account:
        os.chown(home, account.uid, account.gid)
        os.chown(draft, account.uid, account.gid)
    command = [str(binaries / "initdb"), "--pgdata", str(home / "data"), "--username", USER, "--no-sync"]
    command += ["--auth", "scram-sha-256", "--pwfile", str(draft), "--encoding", "UTF8", "--no-locale"]
    log = home / "initdb.log"
    if processes.start(command, log, account=account).wait() != 0:
        raise NoPostgres(f"initdb failed:\n{processes.last_lines(log)}")
    # The file's final name says that the cluster is complete: an interrupted one is made anew.
    draft.rename(home / "password")


@contextmanager
def _running(
    binaries: Path, home: Path, account: processes.Account | None, cores: frozenset[int]
) -> Iterator[int]:
    port = processes.free_port()
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": ""}
    command = [str(binaries / "postgres"), "-D", str(home / "data")]
    command += [f"--{name}={value}" for name, value in settings.items()]
    log = home / "postgres.log"
    server = processes.start(command, log, account=account, cores=cores, last_signal=signal.SIGINT)
    try:
        _wait(binaries, home, port, server)
        yield port
    finally:
        # INT is PostgreSQL's fast shutdown: open connections are ended, and the next start needs no recovery.
        processes.stop(server, signal.SIGINT, grace=30)


def _wait(binaries: Path, home: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, and make the database when it is missing."""
    asking = {**os.environ, "PGPASSWORD": (home / "password").read_text(), "PGHOST": "127.0.0.1"}
    asking |= {"PGPORT": str(port), "PGUSER": USER, "PGDATABASE": "postgres"}
    psql = [str(binaries / "psql"), "--quiet", "--no-psqlrc", "--tuples-only", "--command"]
    deadline = time.monotonic() + START_SECONDS
    exists = f"SELECT datname FROM pg_database WHERE datname = '{DATABASE}'"
    while time.monotonic() < deadline and server.poll() is None:
        answer = subprocess.run([*psql, exists], env=asking, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            if not answer.stdout.strip():
                subprocess.run([*psql, f"CREATE DATABASE {DATABASE}"], env=asking, check=True)
            return
        time.sleep(0.1)
    raise NoPostgres(f"PostgreSQL did not start:\n{processes.last_lines(home / 'postgres.log')}")
