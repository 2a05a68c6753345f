"""Hostile DAG files: whatever one does while it is checked, others are served, and nobody is left of it."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.sandbox import hostile
from tests.support import clients, servers

MOST_SECONDS, MOST_P99_MS, MOST_GROWTH_MB = 35.0, 250.0, 20.0
# As many as a service checks at the same time; the one that waits for its turn is not measured.
AT_ONCE = 2
PAUSE_SECONDS = 0.02
MARK = "a-secret-of-this-service"


@dataclass
class Seen:
    """What became of the files, and of a client that has nothing to do with them."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)


def run(full: bool) -> dict[str, object]:
    """Have all hostile files checked (quick: those that end by themselves) while another client is served."""
    with tempfile.TemporaryDirectory(prefix="airflow-hostile-") as folder:
        settings = {"AIRFLOW__REST_API__DEPLOY_ENABLED": "True", "ANY_PASSWORD": MARK}
        with servers.running("standalone", Path(folder), is_covered=False, **settings) as server:
            files = sources(server.home, process_of(server.url).pid, full=full)
            return judged(*watched(server, files), files, is_timed=full)


def sources(home: Path, pid: int, *, full: bool) -> dict[str, str]:
    """Return the files by their names."""
    ended = {name: text for name, (kind, text) in hostile.ENDED.items() if full or kind != "timeout"}
    texts = {**ended, **hostile.REFUSED}
    return {name: hostile.HEAD + aimed(text, home, pid) for name, text in texts.items()}


def aimed(text: str, home: Path, pid: int) -> str:
    """Put in what a file reaches for."""
    replaced = text.replace("{home!r}", repr(str(home))).replace("{pid}", str(pid))
    return replaced.replace("{port}", "1")


def watched(server: servers.Server, files: dict[str, str]) -> tuple[Seen, float, list[psutil.Process]]:
    """Have the files checked; return what was seen, by how many MB the service grew, and who is left."""
    seen, service = Seen(), process_of(server.url)
    with httpx.Client(base_url=server.url, timeout=120) as http:
        rest = clients.Client(http, clients.REST, clients.Tokens())
        # What is made when the first file is checked is no growth.
        check(rest, "first", hostile.GOOD, Seen())
        kept, before = everybody(service), service.memory_info().rss
        with served(server.url, seen.health_ms), ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: check(rest, name, files[name], seen), files))
        grown = (service.memory_info().rss - before) / 1e6
        assert check(rest, "last", hostile.GOOD, Seen())["valid"] is True, "a good file is refused afterwards"
    return seen, grown, strays(service, kept)


def check(rest: clients.Client, name: str, text: str, seen: Seen) -> dict[str, Any]:
    """Have a file checked."""
    begin = time.monotonic()
    files = {"dag_file": ("hostile.py", text.encode(), "text/x-python")}
    answer = rest.post("/deployments/validate", files=files)
    seen.seconds[name] = time.monotonic() - begin
    assert answer.status_code == 200, f"'{name}' was answered with {answer.status_code}: {answer.text}"
    seen.texts.append(answer.text)
    seen.answers[name] = found = answer.json()
    return dict(found)


def judged(
    seen: Seen,
    grown: float,
    left: list[psutil.Process],
    files: dict[str, str],
    *,
    is_timed: bool = True,
) -> dict[str, object]:
    """Compare what was seen with the target; times only where nothing else runs on the machine (`is_timed`)."""
    valid = sorted(name for name, answer in seen.answers.items() if answer["valid"] or answer["dags"])
    slowest = max(seen.seconds, key=seen.seconds.__getitem__)
    p99 = statistics.quantiles(seen.health_ms, n=100)[98]
    secrets = [text for text in seen.texts if MARK in text or "root:" in text]
    strength = {answer["sandbox"] for answer in seen.answers.values()}
    assert valid == [], f"hostile files that are called valid: {valid}"
    assert seen.answers.keys() == files.keys()
    if is_timed:
        assert seen.seconds[slowest] <= MOST_SECONDS, f"'{slowest}' took {seen.seconds[slowest]:.1f} s"
        assert p99 < MOST_P99_MS, f"health had a p99 of {p99:.0f} ms"
    assert left == [], f"processes that are left: {left}"
    assert secrets == [], f"secrets were read: {secrets}"
    assert grown < MOST_GROWTH_MB, f"the service grew by {grown:.1f} MB"
    return {
        "files": len(files),
        "sandbox": ", ".join(sorted(strength)),
        "slowest": f"{seen.seconds[slowest]:.1f} s ({slowest})",
        "health meanwhile, p99": f"{p99:.0f} ms of {len(seen.health_ms)} calls",
        "growth of the service": f"{grown:.1f} MB",
        "processes left": len(left),
        "secrets read": len(secrets),
    }


@contextmanager
def served(url: str, milliseconds: list[float]) -> Iterator[None]:
    """Ask all the time whether the service is ready, for which it asks the database."""
    is_over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            while not is_over.wait(PAUSE_SECONDS):
                begin = time.monotonic()
                assert http.get(f"{clients.REST}/health/ready").status_code == 200
                milliseconds.append((time.monotonic() - begin) * 1000)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            is_over.set()
        asking.result()


def process_of(url: str) -> psutil.Process:
    """Return the process of the server that was started for this address."""
    port = url.rpartition(":")[2]
    own = psutil.Process().children(recursive=True)
    return next(process for process in own if process.cmdline()[-1:] == [port])


def everybody(service: psutil.Process) -> set[int]:
    """Return the service's processes."""
    return {process.pid for process in service.children(recursive=True)}


def strays(service: psutil.Process, kept: set[int]) -> list[psutil.Process]:
    """Return who has come since, and does not end within a moment."""
    deadline = time.monotonic() + 2
    while True:
        left = [process for process in service.children(recursive=True) if process.pid not in kept]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
