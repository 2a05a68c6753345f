"""Races: runs are killed, skipped, cleared and deleted while a scheduler and its executor work on them.

Triggers in the database itself write down every change of state, whoever makes it. A state that a task instance has
come to must not become another one, but by a new try of it; a run that has ended goes on only by being queued.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from benchmark.database import postgres_cluster
from sqlalchemy import Engine, create_engine, text

from tests.support import live as support

DAG = "races"
ROUNDS = 200
# So many runs go on at the same time; more would only wait for the executor.
AT_ONCE = 6
SETTLE_SECONDS = 120
FINISHED = ("success", "failed", "skipped", "upstream_failed", "removed")
UNFINISHED_RUNS = ("queued", "running")
# Skipping is asked for what failed as well, so that a run goes on without it.
ASKED_FOR = {("failed", "skipped"), ("upstream_failed", "skipped")}
ILLEGAL = {
    (old, new) for old in FINISHED for new in (*FINISHED, "running", "queued", "scheduled") if old != new
} - ASKED_FOR
# SQLite has no locks of rows: Airflow's scheduler and its execution API write what they decided on a state that they
# read before a caller changed it, so a task that was failed or skipped may be queued, run and end all the same. No
# caller can prevent that; this service's own changes read and write under one lock. PostgreSQL is held to all of it.
OVERWRITTEN_ON_SQLITE = ("failed", "skipped")
ILLEGAL_OF_RUNS = {
    ("success", "failed"),
    ("failed", "success"),
    ("success", "running"),
    ("failed", "running"),
}

Change = tuple[str, str, str, str | None, str | None]
_TABLES = {"task_instance": "id", "dag_run": "clear_number"}


def run(full: bool) -> dict[str, object]:
    """Race 200 times on an Airflow of its own (quick: 10)."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-races-"))
        on_postgres = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql")
        url = stack.enter_context(postgres_cluster()) if on_postgres else None
        live = stack.enter_context(support.running(Path(place) / "home", url))
        return raced(live, ROUNDS if full else 10)


def raced(live: support.Live, rounds: int, seed: int = 1) -> dict[str, object]:
    """Race so many times on a running Airflow; fails when anything was answered or done that must not be."""
    answers: Counter[str] = Counter()
    with watched(live.database_url) as seen, ThreadPoolExecutor(4 * AT_ONCE) as threads:
        rooms = [threads.submit(_rounds, live, rounds // AT_ONCE + 1, seed + room) for room in range(AT_ONCE)]
        for room in rooms:
            answers.update(room.result())
        left = _settled(live)
        changes = seen()
    faults = {name: number for name, number in answers.items() if name.split()[-1].startswith("5")}
    assert not faults, f"answered with 5xx: {faults}"
    illegal = judged(changes)
    lost = [] if live.is_on_postgres else [change for change in illegal if is_of_airflow(change)]
    illegal = [change for change in illegal if change not in lost]
    assert not illegal, f"illegal transitions: {illegal[:10]}"
    assert not left, f"did not come to an end: {left}"
    return {
        "rounds": AT_ONCE * (rounds // AT_ONCE + 1),
        "calls": sum(answers.values()),
        "answers": dict(sorted(answers.items())),
        "transitions": len(changes),
        "answered with 5xx": 0,
        "illegal transitions": 0,
        "updates that Airflow itself lost on SQLite": len(lost),
    }


def judged(changes: list[Change]) -> list[Change]:
    """Return the changes that must not be: of one try to another end, or of a run that nobody cleared."""
    return [
        change
        for change in changes
        for table, before, after, old, new in [change]
        if before == after and (old, new) in (ILLEGAL if table == "task_instance" else ILLEGAL_OF_RUNS)
    ]


def is_of_airflow(change: Change) -> bool:
    """Tell whether Airflow itself may have lost an update, where nothing locks rows."""
    table, *_, old, new = change
    return table == "dag_run" or (old in OVERWRITTEN_ON_SQLITE and new != "skipped")


@contextmanager
def watched(url: str) -> Iterator[Any]:
    """Have the database write down every change of a state; give what tells them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in _triggers(engine):
            connection.execute(text(statement))

    def seen() -> list[Change]:
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text("SELECT * FROM seen_changes"))]

    try:
        yield seen
    finally:
        with engine.begin() as connection:
            for name in _TABLES:
                on = f" ON {name}" if engine.dialect.name == "postgresql" else ""
                connection.execute(text(f"DROP TRIGGER seen_{name}{on}"))
            connection.execute(text("DROP TABLE seen_changes"))
        engine.dispose()


def _triggers(engine: Engine) -> Iterator[str]:
    yield 'CREATE TABLE seen_changes (what text, before text, after text, "old" text, "new" text)'
    for name, key in _TABLES.items():
        values = f"'{name}', CAST(OLD.{key} AS text), CAST(NEW.{key} AS text), OLD.state, NEW.state"
        insert = f"INSERT INTO seen_changes VALUES ({values});"
        when = f"AFTER UPDATE ON {name} FOR EACH ROW WHEN (OLD.state IS {{}} NEW.state)"
        if engine.dialect.name == "sqlite":
            yield f"CREATE TRIGGER seen_{name} {when.format('NOT')} BEGIN {insert} END"
            continue
        yield (
            f"CREATE OR REPLACE FUNCTION seen_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {insert} RETURN NULL; END $$"
        )
        condition = when.format("DISTINCT FROM")
        yield f"CREATE TRIGGER seen_{name} {condition} EXECUTE FUNCTION seen_{name}()"


def _rounds(live: support.Live, number: int, seed: int) -> Counter[str]:
    """Make runs, and do to each of them several things at once, some moments later."""
    chance, answers = random.Random(seed), Counter()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(number):
            run_id = live.trigger(DAG)
            time.sleep(chance.uniform(0, 3))
            calls = [_call(live, run_id, chance) for _ in range(4)]
            for name, answer in threads.map(lambda call: (call[0], call[1]()), calls):
                answers[f"{name} {answer.status_code}"] += 1
    return answers


def _call(live: support.Live, run_id: str, chance: random.Random) -> tuple[str, Any]:
    of_run = f"/dags/{DAG}/dagRuns/{run_id}"
    task = chance.choice(["first", "each", "shell", "falters", "last"])
    of_task = f"{of_run}/taskInstances/{task}"
    clear = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task], "only_failed": False}
    post = live.rest.post
    calls: dict[str, Any] = {
        "kill_dag_run": lambda: post(f"{of_run}/kill"),
        "kill_task_instance": lambda: post(f"{of_task}/kill"),
        "skip_task_instance": lambda: post(f"{of_task}/skip"),
        "skip_task_instance downstream": lambda: post(f"{of_task}/skip", params={"downstream": True}),
        "post_clear_task_instances": lambda: post(f"/dags/{DAG}/clearTaskInstances", json=clear),
        "clear_dag_run": lambda: post(f"{of_run}/clear", json={"dry_run": False}),
        "restart_failed_tasks": lambda: post(f"{of_run}/restartFailed"),
        "run_task_instance": lambda: post(f"{of_task}/run"),
        "delete_dag_run": lambda: live.rest.delete(of_run),
        "delete_task_instance": lambda: live.rest.delete(of_task),
    }
    name = chance.choice(list(calls))
    return name, calls[name]


def _settled(live: support.Live) -> list[str]:
    """Kill what is left, and wait until no run goes on; return those that do."""
    live.rest.post("/dagRuns/kill", json={"selector": {"dag_id_pattern": DAG}})
    deadline = time.monotonic() + SETTLE_SECONDS
    while left := _unfinished(live):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return left


def _unfinished(live: support.Live) -> list[str]:
    answer: httpx.Response = live.rest.get(
        f"/dags/{DAG}/dagRuns", params={"state": list(UNFINISHED_RUNS), "limit": 100}
    )
    return [found["dag_run_id"] for found in answer.json()["dag_runs"]]
