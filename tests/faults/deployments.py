"""Deployments: one file, deployed by many clients to a server that is killed again and again, is never half of two."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from benchmark import processes

from tests.support import environment, servers, template

CLIENTS = 8
PATH = "etl.py"
DEPLOYMENTS = "/rest_api/v1/deployments"
# How long one deployment may take with all deaths of the server, and the journal to be clean afterwards.
PATIENCE_SECONDS = 180
SETTLED_SECONDS = 90
_MARK = b"# checked "


def run(full: bool) -> dict[str, object]:
    """1,000 deployments by 8 clients over 25 deaths of the server (quick: 40 over 2)."""
    number, deaths = (1000, 25) if full else (40, 2)
    with tempfile.TemporaryDirectory(prefix="airflow-deployments-") as folder:
        home = Path(folder)
        with served(home) as server, watched(home / "drafts" / PATH) as reader:
            with ThreadPoolExecutor(1) as aside:
                answering = aside.submit(deployed, server, number)
                # By this thread: a server ends with the thread that has started it.
                server.kill_often(deaths)
                answers = answering.result()
            settled(server)
            history = told(server)
        rest = left(home)
    figures = {**judged(history, answers, reader), **rest}
    assert rest["unfinished"] == rest["claims left"] == 0, rest
    return {"deployments": number, "deaths of the server": deaths, **figures}


def body(number: int) -> bytes:
    """A DAG file that says in its first line what the rest of it has to be."""
    rest = (
        "from airflow.sdk import DAG\n\n"
        f"with DAG('torn_or_not', schedule=None, description='{number}'):\n    pass\n"
        + f"# {number}\n"
        * 2000
    ).encode()
    return _MARK + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def is_whole(data: bytes) -> bool:
    """Whether a file is one that somebody has sent."""
    first, _, rest = data.partition(b"\n")
    return first == _MARK + hashlib.sha256(rest).hexdigest().encode()


@dataclass
class Served:
    """A server that is started again when it was killed."""

    home: Path
    variables: dict[str, str]
    url: str = ""
    child: Any = None
    ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        port = processes.free_port()
        program, *arguments = servers.COMMANDS["standalone"]
        command = [str(servers.PROGRAMS / program), *arguments, str(port)]
        self.child = processes.start(command, self.home / "server.log", env=self.variables)
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + servers.READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/rest_api/v1/health/ready", timeout=30).status_code == 200:
                    self.ready.set()
                    return
            time.sleep(0.2)
        raise processes.ProcessEnded(processes.last_lines(self.home / "server.log", 40))

    def kill_often(self, deaths: int) -> None:
        """Kill it at moments that nobody knows, and start it again."""
        chance = random.Random(os.environ.get("SEED", "deployments"))
        for _ in range(deaths):
            time.sleep(chance.uniform(1.0, 9.0))
            self.ready.clear()
            os.kill(self.child.pid, signal.SIGKILL)
            self.child.wait()
            self.start()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Ask it as the admin, who got his token from Airflow; None when it died meanwhile."""
        self.ready.wait(servers.READY_SECONDS)
        headers = {"Authorization": f"Bearer {self.variables['TOKEN']}", **options.pop("headers", {})}
        with suppress(httpx.TransportError):
            return httpx.request(method, self.url + path, headers=headers, timeout=120, **options)
        return None


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A home with a server that may deploy."""
    settings = {"AIRFLOW__REST_API__DEPLOY_ENABLED": "True", "AIRFLOW__REST_API__ACCESS_TOKEN_MINUTES": "600"}
    variables = environment.inherited() | servers.HASH_SEED | environment.prepare(home) | settings
    template.copy_to(home)
    server = Served(home, variables)
    server.start()
    credentials = {"username": "admin", "password": environment.password_of("admin")}
    answer = httpx.post(f"{server.url}/rest_api/v1/security/login", json=credentials, timeout=60)
    variables["TOKEN"] = answer.json()["access_token"]
    try:
        yield server
    finally:
        processes.stop(server.child)


def deployed(server: Served, number: int) -> Counter[str]:
    """Deploy as many contents as that; return what was answered."""
    counting, told = itertools.count(), Counter[str]()

    def work(_: int) -> None:
        while (mine := next(counting)) < number:
            told.update(one(server, mine))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    return told


def one(server: Served, number: int) -> Iterator[str]:
    """Deploy one content, repeating the call until it is answered for good; yield what was answered."""
    key, deadline = uuid4().hex, time.monotonic() + PATIENCE_SECONDS
    form = {
        "dag_file": (PATH, body(number)),
        "bundle_name": (None, "drafts"),
        "force": (None, "true"),
        "message": (None, str(number)),
    }
    while time.monotonic() < deadline:
        answer = server.call("POST", DEPLOYMENTS, files=form, headers={"Idempotency-Key": key})
        if answer is None:
            yield "died"
        elif answer.status_code == 201:
            yield "deployed"
            return
        else:
            kind = answer.json()["type"].rpartition(":")[2]
            assert answer.status_code in (409, 503), answer.text
            yield kind
            if kind != "still-running" and answer.status_code == 409:
                key = uuid4().hex  # the refusal is kept with the key
            time.sleep(0.3)
    raise AssertionError(f"the deployment {number} was never answered")


@dataclass
class Reader:
    """Who reads the file all the time."""

    reads: int = 0
    torn: int = 0
    seen: set[bytes] = field(default_factory=set)


@contextmanager
def watched(path: Path) -> Iterator[Reader]:
    """Read a file over and over, in a thread."""
    reader, stopping = Reader(), threading.Event()

    def look() -> None:
        while not stopping.is_set():
            with suppress(FileNotFoundError):
                data = path.read_bytes()
                reader.reads += 1
                reader.torn += not is_whole(data)
                reader.seen.add(data[:80])
            time.sleep(0.0005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield reader
    finally:
        stopping.set()
        thread.join()


def settled(server: Served) -> None:
    """Wait until every deployment has come to its end: without a DAG processor that is soon."""
    deadline = time.monotonic() + SETTLED_SECONDS
    states = {"state": ["checked", "stored", "parsed"], "limit": 1}
    while time.monotonic() < deadline:
        answer = server.call("GET", DEPLOYMENTS, params=states)
        if answer is not None and answer.json()["total_entries"] == 0:
            return
        time.sleep(0.5)
    raise AssertionError("some deployments never come to their end")


def told(server: Served) -> list[dict[str, Any]]:
    """All deployments, the first one first."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"cursor": cursor, "order_by": "number", "limit": 100}
        answer = server.call("GET", DEPLOYMENTS, params=params)
        assert answer is not None
        found += answer.json()["deployments"]
        cursor = answer.json()["next_cursor"]
    return found


def judged(history: list[dict[str, Any]], answers: Counter[str], reader: Reader) -> dict[str, object]:
    """What the history tells: one deployment after another, each upon what the one before has left."""
    numbers = [one["number"] for one in history]
    assert numbers == list(range(1, len(history) + 1)), "numbers are missing, or come twice"
    stored = [one for one in history if not any(error["kind"] == "lost" for error in one["errors"])]
    before = [None, *(one["sha256"] for one in stored[:-1])]
    assert [one["previous_sha256"] for one in stored] == before, "the history is not linear"
    assert [one["is_current"] for one in stored] == [*[False] * (len(stored) - 1), True]
    assert Counter(one["message"] for one in stored).most_common(1)[0][1] == 1, "one was deployed twice"
    assert reader.torn == 0, f"{reader.torn} of {reader.reads} reads were torn"
    assert reader.reads > len(stored)
    return {
        "stored": len(stored),
        "lost before they were stored": len(history) - len(stored),
        "answers": dict(answers),
        "reads": reader.reads,
        "contents seen": len(reader.seen),
        "torn reads": reader.torn,
    }


def left(home: Path) -> dict[str, object]:
    """What is left in the bundle and in the journal."""
    data = (home / "drafts" / PATH).read_bytes()
    assert is_whole(data), "the file is torn"
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        (sha256,) = database.execute(
            "SELECT sha256 FROM rest_api_deployment d JOIN rest_api_deployed_path p ON p.current = d.id"
        ).fetchone()
        unfinished, claims = (
            database.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
            for source in (
                "rest_api_deployment WHERE state IN ('checked', 'stored', 'parsed')",
                "rest_api_deployed_path WHERE holder IS NOT NULL",
            )
        )
    assert hashlib.sha256(data).hexdigest() == sha256, "the file is not the one that the journal names"
    names = sorted(path.name for path in (home / "drafts").iterdir())
    return {
        "torn files": 0,
        "unfinished": unfinished,
        "claims left": claims,
        "stale temporary files": sum(name.endswith(".tmp") for name in names),
    }
