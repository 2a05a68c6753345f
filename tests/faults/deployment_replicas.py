"""Replicas: two servers on one Postgres deploy to one path at the same moment; one wins, and history is linear."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.faults.deployments import DEPLOYMENTS, PATH, body, is_whole
from tests.support import environment, postgres, servers

PATIENCE_SECONDS = 120


def run(full: bool) -> dict[str, object]:
    """50 rounds in which two replicas deploy at once, without `force` in the first one (quick: 6)."""
    rounds = 50 if full else 6
    with tempfile.TemporaryDirectory(prefix="airflow-replicas-") as folder, replicas(Path(folder)) as clients:
        answers = [at_once(clients, number, force=number > 0) for number in range(rounds)]
        history = told(clients[0])
        content = (Path(folder) / "one" / environment.DRAFTS / PATH).read_bytes()
    assert answers[0]["deployed"] == 1, f"without `force` both won: {answers[0]}"
    assert all(answer["deployed"] >= 1 for answer in answers), "nobody won a round"
    assert is_whole(content), "the file is torn"
    return {"rounds": rounds, "answers": dict(sum(answers, Counter())), **judged(history, content)}


@contextmanager
def replicas(folder: Path) -> Iterator[list[httpx.Client]]:
    """Two servers, each with a home of its own, on one database and one folder of DAGs; a client for each."""
    bundle = environment.local_bundle(environment.DRAFTS, folder / "one" / environment.DRAFTS)
    with ExitStack() as stack:
        url = stack.enter_context(postgres.prepared_database(folder))
        settings = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__REST_API__DEPLOY_ENABLED": "True",
        }
        yield [_client(stack, folder / name, settings) for name in ("one", "other")]


def _client(stack: ExitStack, home: Path, settings: dict[str, str]) -> httpx.Client:
    server = stack.enter_context(servers.running("standalone", home, is_covered=False, **settings))
    client = stack.enter_context(httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS))
    credentials = {"username": "admin", "password": environment.password_of("admin")}
    token = client.post("/rest_api/v1/security/login", json=credentials).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def at_once(clients: list[httpx.Client], number: int, *, force: bool) -> Counter[str]:
    """Deploy another content through each replica, in the same moment; count what was answered."""

    def deploy(position: int) -> str:
        fields = {"message": f"{number} {position}", **({"force": "true"} if force else {})}
        files = {"dag_file": (PATH, body(2 * number + position))}
        answer = clients[position].post(DEPLOYMENTS, files=files, data=fields)
        assert answer.status_code in (201, 409), answer.text
        return "deployed" if answer.status_code == 201 else answer.json()["type"].rpartition(":")[2]

    with ThreadPoolExecutor(len(clients)) as pool:
        return Counter(pool.map(deploy, range(len(clients))))


def told(client: httpx.Client) -> list[dict[str, Any]]:
    """All deployments, the first one first."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(DEPLOYMENTS, params={"cursor": cursor, "order_by": "number", "limit": 100}).json()
        found += page["deployments"]
        cursor = page["next_cursor"]
    return found


def judged(history: list[dict[str, Any]], content: bytes) -> dict[str, object]:
    """What the history tells: one deployment after another, each upon what the one before has left."""
    assert [one["number"] for one in history] == list(range(1, len(history) + 1)), (
        "numbers are missing, or come twice"
    )
    before = [None, *(one["sha256"] for one in history[:-1])]
    assert [one["previous_sha256"] for one in history] == before, "the history is not linear"
    assert [one["is_current"] for one in history] == [*[False] * (len(history) - 1), True]
    assert hashlib.sha256(content).hexdigest() == history[-1]["sha256"], "the file is not the newest one's"
    return {"deployments": len(history), "history": "linear"}
