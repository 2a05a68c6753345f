"""What the servers answer from: DAGs that Airflow itself parsed, and a history of runs made by SQL."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmark.programs import program

BROKEN_FILES = 12
TASKS = 5
TARGETS = 20
FOLDER = Path(__file__).parent
QUERIES = {
    "dags": "SELECT dag_id FROM dag ORDER BY md5(dag_id) LIMIT %(few)s",
    "paused_dags": "SELECT dag_id FROM dag WHERE is_paused ORDER BY dag_id LIMIT %(few)s",
    "runs": """
        SELECT dag_id, run_id FROM dag_run WHERE state = 'success'
        ORDER BY md5(dag_id || run_id) LIMIT %(few)s""",
    "retried": """
        SELECT dag_id, run_id, task_id FROM task_instance_history
        ORDER BY md5(dag_id || run_id || task_id) LIMIT %(few)s""",
    "event_logs": "SELECT id FROM log WHERE run_id IS NOT NULL ORDER BY md5(id::text) LIMIT %(few)s",
}


@dataclass(frozen=True)
class Size:
    """How many DAGs there are, and how many runs in all; each run has five task instances."""

    dags: int = 200
    runs: int = 100_000

    @property
    def task_instances(self) -> int:
        """All task instances of all runs."""
        return self.runs // self.dags * self.dags * TASKS


@dataclass(frozen=True)
class Targets:
    """Things of the data set that single reads ask for, a few of each kind."""

    dags: tuple[tuple[str], ...]
    paused_dags: tuple[tuple[str], ...]
    runs: tuple[tuple[str, str], ...]
    retried: tuple[tuple[str, str, str], ...]
    event_logs: tuple[tuple[int], ...]


class AirflowFailed(RuntimeError):
    """A command of Airflow ended with a fault."""


class OtherDataset(RuntimeError):
    """A kept folder holds data of another size."""


def make(home: Path, environment: Mapping[str, str], url: str, size: Size) -> bool:
    """Make the data set unless it is there; whether it was made. Raises OtherDataset or AirflowFailed."""
    mark = home / "dataset.json"
    if mark.exists():
        if json.loads(mark.read_text()) != asdict(size):
            raise OtherDataset(
                f"{home.parent} holds a data set of another size: {mark.read_text()}; remove it"
            )
        return False
    _airflow(environment, "db", "reset", "--yes")
    _write_dag_files(home / "dags", size.dags)
    _airflow(environment, "dags", "reserialize")
    _fill(url, size)
    mark.write_text(json.dumps(asdict(size)))
    return True


def targets(url: str) -> Targets:
    """Choose what the single reads ask for."""
    return Targets(**{name: tuple(_rows(url, query)) for name, query in QUERIES.items()})


def forget_triggered(url: str, prefix: str) -> None:
    """Remove the runs that the trigger made, so that a kept data set stays as it was."""
    _execute(url, "DELETE FROM dag_run WHERE run_id LIKE %(pattern)s", {"pattern": f"{prefix}%"})
    _execute(url, "DELETE FROM log WHERE event = 'trigger_dag_run'", {})
    _execute(url, "VACUUM (ANALYZE)", {})


def _airflow(environment: Mapping[str, str], *arguments: str) -> None:
    command = [program("airflow"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AirflowFailed(f"`airflow {' '.join(arguments)}` failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _write_dag_files(folder: Path, count: int) -> None:
    template = (FOLDER / "dag.py.txt").read_text()
    for number in range(count):
        dag_id = f"bench_{number:03}"
        (folder / f"{dag_id}.py").write_text(template.format(dag_id=dag_id, team=number % 10))
    for number in range(BROKEN_FILES):
        text = f"from airflow.sdk import DAG\nraise ValueError('broken on purpose: {number}')\n"
        (folder / f"broken_{number:02}.py").write_text(text)


def _fill(url: str, size: Size) -> None:
    _execute(url, (FOLDER / "dataset.sql").read_text(), {"runs_per_dag": size.runs // size.dags})
    _execute(url, "VACUUM (ANALYZE)", {})
    _execute(url, "CHECKPOINT", {})


def _execute(url: str, statement: str, parameters: Mapping[str, object]) -> None:
    with _cursor(url) as cursor:
        cursor.execute(statement.encode(), parameters)


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with _cursor(url) as cursor:
        return cursor.execute(query.encode(), {"few": TARGETS}).fetchall()


@contextmanager
def _cursor(url: str) -> Iterator[psycopg.ClientCursor[tuple[Any, ...]]]:
    # The client's own cursor can run several statements with parameters at once; VACUUM needs autocommit.
    with psycopg.connect(url.replace("+psycopg2", ""), autocommit=True) as connection:
        yield psycopg.ClientCursor(connection)
