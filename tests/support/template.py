"""The prepared home: a migrated database with parsed DAGs and the scenario, made once and copied for each session."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support import environment

CACHE = environment.ROOT / ".pytest_cache" / "airflow"
BUILD_SECONDS = 240
KEPT_SECONDS = 24 * 3600
INGREDIENTS = (
    "requirements.lock",
    "tests/dags/*.py",
    "tests/support/canaries.py",
    "tests/support/environment.py",
    "tests/support/seed*.py",
    "tests/support/template.py",
    "airflow_rest_api/storage/**/*.py",
)


class TemplateFailed(RuntimeError):
    """The prepared home could not be made; the message holds the end of the child's output."""


def copy_to(home: Path) -> None:
    """Fill a new home with a copy of the prepared one."""
    source = prepared()
    shutil.copytree(source / "logs", home / "logs", dirs_exist_ok=True)
    shutil.copyfile(source / "airflow.db", home / "airflow.db")


def restore(home: Path) -> None:
    """Write the prepared database over the home's."""
    back_up(prepared() / "airflow.db", home / "airflow.db")


def back_up(database: Path, copy: Path) -> None:
    """Write a SQLite database over another one, page by page, so that open connections stay good."""
    source = sqlite3.connect(database)
    target = sqlite3.connect(copy, timeout=30)
    with closing(source), closing(target):
        source.backup(target)


def prepared() -> Path:
    """The folder of the prepared home; made when a file that it is made of has changed."""
    folder = CACHE / _key()
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with _locked(CACHE / "lock"):
            if not folder.exists():
                _make(folder)
    return folder


def fill(home: Path, database_url: str | None = None) -> None:
    """Migrate, parse and seed in child processes: the database of `home`, or the empty one at `database_url`."""
    variables = environment.prepare(home, database_url)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.seed"],
        cwd=environment.ROOT,
        env={
            **environment.inherited(),
            **variables,
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        raise TemplateFailed("\n".join(result.stdout.splitlines()[-60:]))


def _make(folder: Path) -> None:
    _forget_old()
    draft = folder.with_suffix(f".{os.getpid()}")
    draft.mkdir()
    try:
        fill(draft)
        with closing(sqlite3.connect(draft / "airflow.db")) as database:
            # One file to copy: what is still in the write-ahead log moves into it. The mode stays.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _key() -> str:
    digest = hashlib.sha256(f"{environment.ROOT} {sys.version}".encode())
    for pattern in INGREDIENTS:
        for path in sorted(environment.ROOT.glob(pattern)):
            digest.update(path.relative_to(environment.ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _forget_old() -> None:
    for path in CACHE.iterdir():
        if path.is_dir() and time.time() - path.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
