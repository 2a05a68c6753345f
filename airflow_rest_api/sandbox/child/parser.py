"""The parser: reads DAG files as Airflow's DAG processor does, and writes a line of JSON about each.

This runs the caller's code, in a process that ends afterwards.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import might_contain_dag

from airflow_rest_api.sandbox.child.ignoring import heeded
from airflow_rest_api.sandbox.child.mentions import mentions

Json = dict[str, Any]
Write = Callable[[Json], None]

_MOST_TEXT = 2000
_MOST_NAMES, _MOST_DAGS = 500, 1000
_PROVIDER = re.compile(r"No module named 'airflow\.providers\.([a-z0-9_.]+)'")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_SITE = re.compile(r"[^\s\"']*/(?:site-packages|dist-packages)/")
_NOTHING: Json = {
    "ignored": False,
    "dags": [],
    "errors": [],
    "variables": [],
    "connections": [],
    "provider": None,
}
# In front of Airflow's release a provider may be nested: `common.sql`, `apache.spark`, `microsoft.azure`.
_NESTED = ("apache", "atlassian", "common", "dbt", "microsoft", "cncf")


def writer(descriptor: int) -> Write:
    """Return what writes an object as a line of JSON."""

    def write(message: Json) -> None:
        line = json.dumps(message, default=str).encode() + b"\n"
        while line:
            line = line[os.write(descriptor, line) :]

    return write


def parse(root: Path, paths: Sequence[str], bundle_name: str, write: Write) -> None:
    """Parse the files ``paths`` below ``root``, which stands for the bundle."""
    looked_for = heeded(root, paths)
    for path in paths:
        # Whoever reads must know at which file a parser was that never came back.
        write({"begin": path})
        found = _parsed(root, path, bundle_name) if path in looked_for else {**_NOTHING, "ignored": True}
        write({"path": path, **found})
    write({"end": True})


def _parsed(root: Path, path: str, bundle_name: str) -> Json:
    result = dict(_NOTHING)
    source, fault = _source(root / path)
    if fault:
        return {**result, "errors": [fault]}
    if not might_contain_dag(str(root / path), True):
        # Nobody runs it as a DAG file; a module that another one imports has to be Python all the same.
        return {**result, "ignored": True, "errors": _unreadable(source)}
    bag = DagBag(
        dag_folder=str(root / path),
        collect_dags=False,
        load_op_links=False,
        bundle_path=root,
        bundle_name=bundle_name,
    )
    result |= _mentioned(source)
    bag.process_file(str(root / path), only_if_updated=False, safe_mode=True)
    texts = [text for _, text in sorted(bag.import_errors.items())]
    result["errors"] = [_fault(root, path, text) for text in texts]
    result["provider"] = next((name for name in map(_provider, texts) if name), None)
    if not texts:
        result |= _dags(bag, root)
    return result


def _source(place: Path) -> tuple[str, Json | None]:
    data = place.read_bytes()
    if b"\0" in data:
        return "", {
            "line": data.count(b"\n", 0, data.index(b"\0")) + 1,
            "kind": "encoding",
            "message": "The file holds a NUL character.",
        }
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        return "", {"line": line, "kind": "encoding", "message": "The file is not UTF-8."}


def _unreadable(source: str) -> list[Json]:
    try:
        compile(source, "module", "exec", dont_inherit=True)
    except SyntaxError as fault:
        return [{"line": fault.lineno, "kind": "syntax", "message": f"{type(fault).__name__}: {fault.msg}"}]
    except (ValueError, RecursionError, MemoryError) as fault:
        return [{"line": None, "kind": "syntax", "message": f"{type(fault).__name__}: {fault}"[:_MOST_TEXT]}]
    return []


def _mentioned(source: str) -> Json:
    try:
        variables, connections = mentions(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}  # the parser says so better
    return {"variables": sorted(variables)[:_MOST_NAMES], "connections": sorted(connections)[:_MOST_NAMES]}


def _dags(bag: DagBag, root: Path) -> Json:
    if len(bag.dags) > _MOST_DAGS:
        return _refused(
            f"The file declares {len(bag.dags):,} DAGs; {_MOST_DAGS:,} are the most for one file."
        )
    try:
        return {"dags": [_dag(dag) for dag in bag.dags.values()]}
    except Exception as fault:
        # Airflow serialises what it has parsed, and calls it an import error where that fails.
        return _refused(_readable(root, f"{type(fault).__name__}: {fault}"))


def _refused(message: str) -> Json:
    return {"errors": [{"line": None, "kind": "import", "message": message}]}


def _dag(dag: Any) -> Json:
    served = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return {
        "dag_id": served.dag_id,
        "tasks": sorted(served.task_ids),
        "schedule": served.timetable.summary,
        "tags": sorted(served.tags),
    }


def _fault(root: Path, path: str, text: str) -> Json:
    lines = re.findall(rf'File "{re.escape(str(root / path))}", line (\d+)', text)
    message = text.strip().splitlines()[-1] if text.strip() else "The file could not be imported."
    kind = "syntax" if message.startswith(_SYNTAX) else "provider" if _provider(message) else "import"
    return {
        "line": int(lines[-1]) if lines else None,
        "kind": kind,
        "message": _readable(root, _explained(message)),
    }


def _explained(message: str) -> str:
    """Say why it was not found, where Airflow's own words blame something else."""
    if "VARIABLE_NOT_FOUND" in message or "CONNECTION_NOT_FOUND" in message:
        return (
            f"{message} (checked without variables and connections: read them in a task, or give a default)"
        )
    return message


def _readable(root: Path, text: str) -> str:
    return _SITE.sub("", text.replace(f"{root}/", ""))[:_MOST_TEXT]


def _provider(text: str) -> str | None:
    """Return the distribution of the provider that an import did not find."""
    found = _PROVIDER.search(text)
    if not found:
        return None
    parts = found[1].split(".")
    return f"apache-airflow-providers-{'-'.join(parts[: 2 if parts[0] in _NESTED else 1])}".replace("_", "-")


WARM_UP = """
from datetime import datetime
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
with DAG("warm_up", schedule="@daily", start_date=datetime(2024, 1, 1), tags=["a"]) as dag:
    BashOperator(task_id="bash", bash_command="true") >> PythonOperator(task_id="python", python_callable=print)
"""


def warm_up(folder: Path) -> float:
    """Parse a small DAG of our own, so that all that Airflow loads lazily is there before the first fork."""
    begin = time.monotonic()
    (folder / "warm_up.py").write_text(WARM_UP)
    parse(folder, ["warm_up.py"], "warm-up", lambda message: None)
    return time.monotonic() - begin
