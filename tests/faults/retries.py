"""Retries: of one call made many times, also over the death of the server, there is one effect and one answer."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.support import environment, postgres, servers

RUNS = "/rest_api/v1/dags/manual/dagRuns"
NOW = {"logical_date": None}
CALLERS = 50
# How long a call may have to be repeated: the lease of a claim whose process died, and the restart.
PATIENCE_SECONDS = 90


def run(full: bool) -> dict[str, object]:
    """500 retries of a trigger with one key (quick: 60), 200 triggers of one run (40), a kill at two moments (one)."""
    figures: dict[str, object] = {}
    for name, settings in databases():
        figures |= {f"{name}: {figure}": value for figure, value in on(settings, full=full).items()}
    return figures


def databases() -> Iterator[tuple[str, dict[str, str]]]:
    """The settings of each database, prepared."""
    yield "sqlite", {}
    folder = tempfile.TemporaryDirectory(prefix="airflow-retries-")
    with folder as home, postgres.prepared_database(Path(home)) as url:
        yield "postgres", {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}


def on(settings: dict[str, str], *, full: bool) -> dict[str, object]:
    retries, conflicts = (500, 200) if full else (60, 40)
    with tempfile.TemporaryDirectory(prefix="airflow-retries-") as folder:
        home = Path(folder)
        with (
            servers.running("standalone", home, is_covered=False, **settings) as server,
            api(server.url) as call,
        ):
            figures = {**one_effect(call, retries), **one_winner(call, conflicts)}
        for moment in ("committed", "claimed") if full else ("committed",):
            figures |= {
                f"killed when {moment}: {n}": v for n, v in over_a_kill(home, settings, moment).items()
            }
    return figures


@contextmanager
def api(url: str) -> Iterator[Callable[..., httpx.Response]]:
    """`call("POST", path, …)` as the admin, with many connections."""
    limits = httpx.Limits(max_connections=CALLERS)
    with httpx.Client(base_url=url, timeout=120, limits=limits) as http:
        body = {"username": "admin", "password": environment.password_of("admin")}
        token = http.post("/rest_api/v1/security/login", json=body).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http.request


def one_effect(call: Callable[..., httpx.Response], number: int) -> dict[str, object]:
    """Repeat one trigger many times at once; every answer is the first, or a 409 that becomes it."""
    before, headers = runs(call), {"Idempotency-Key": uuid4().hex}
    told: Counter[int] = Counter()

    def settle(_: int) -> httpx.Response:
        while True:
            answer = call("POST", RUNS, json=NOW, headers=headers)
            told[answer.status_code] += 1
            if answer.status_code != 409:
                return answer
            time.sleep(0.1)

    answers = at_once(settle, number)
    made = runs(call) - before
    assert made == 1, f"{made} runs were made"
    assert len({answer.content for answer in answers}) == 1, "the answers differ"
    assert set(told) <= {200, 409}, f"answered {dict(told)}"
    return {"retries with one key": number, "runs made": made, "answers": dict(told)}


def one_winner(call: Callable[..., httpx.Response], number: int) -> dict[str, object]:
    """Trigger one run with as many keys as calls; one makes it."""
    body = {**NOW, "dag_run_id": f"one-{uuid4().hex}"}
    answers = at_once(
        lambda _: call("POST", RUNS, json=body, headers={"Idempotency-Key": uuid4().hex}), number
    )
    told = Counter(answer.status_code for answer in answers)
    assert told == {200: 1, 409: number - 1}, f"answered {dict(told)}"
    return {"triggers of one run": number, "their answers": dict(told)}


def over_a_kill(home: Path, settings: dict[str, str], moment: str) -> dict[str, object]:
    """Call a server that kills itself, start another one, and repeat the call until it is answered."""
    headers = {"Idempotency-Key": uuid4().hex}
    with dying(home, settings, moment) as call:
        before = runs(call)
        unanswered(call, RUNS, json=NOW, headers=headers)
    with servers.running("standalone", home, is_covered=False, **settings) as server, api(server.url) as call:
        answer, told = settled(call, RUNS, json=NOW, headers=headers)
        again = call("POST", RUNS, json=NOW, headers=headers)
        made = runs(call) - before
    assert (answer.status_code, again.content) == (200, answer.content), answer.text
    assert made == 1, f"{made} runs were made"
    return {"runs made": made, "answers": dict(told)}


@contextmanager
def dying(home: Path, settings: dict[str, str], moment: str) -> Iterator[Callable[..., httpx.Response]]:
    """`call` of a server that kills itself at this moment (`tests/support/dying.py`)."""
    paths = {**settings, "PYTHONPATH": f"{environment.ROOT}:{environment.ROOT / 'scripts'}"}
    with (
        servers.running(f"dying when {moment}", home, is_covered=False, **paths) as server,
        api(server.url) as call,
    ):
        yield call


def unanswered(call: Callable[..., httpx.Response], path: str, **options: Any) -> None:
    """Make a call that kills the server."""
    try:
        call("POST", path, **options)
    except httpx.TransportError:
        return
    raise AssertionError("the server has answered")


def settled(
    call: Callable[..., httpx.Response], path: str, **options: Any
) -> tuple[httpx.Response, Counter[int]]:
    """Repeat a call until the claim of the server that died has run out, and count the answers."""
    begin, told = time.monotonic(), Counter[int]()
    while True:
        answer = call("POST", path, **options)
        told[answer.status_code] += 1
        if answer.status_code != 409:
            return answer, told
        assert time.monotonic() - begin < PATIENCE_SECONDS, "the call is never answered"
        time.sleep(1)


def runs(call: Callable[..., httpx.Response]) -> int:
    total: int = call("GET", RUNS, params={"limit": 1}).json()["total_entries"]
    return total


def at_once(call: Callable[[int], Any], number: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(call, range(number)))
