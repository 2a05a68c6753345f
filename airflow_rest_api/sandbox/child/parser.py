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
from airflow.sdk.execution_time.comms import _RequestFrame
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import might_contain_dag

from airflow_rest_api.sandbox import stack_traces
from airflow_rest_api.sandbox.child import missing
from airflow_rest_api.sandbox.child.ignoring import heeded
from airflow_rest_api.sandbox.child.mentions import Mentions, mentions

Json = dict[str, Any]
Write = Callable[[Json], None]

_MOST_NAMES, _MOST_DAGS = 500, 1000
_PROVIDER = re.compile(r"No module named 'airflow\.providers\.([a-z0-9_.]+)'")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_NOTHING: Json = {
    "ignored": False,
    "dags": [],
    "errors": [],
    "variables": [],
    "connections": [],
    "removed": [],
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
    mentioned = _mentioned(source)
    result |= _told(mentioned)
    bag.process_file(str(root / path), only_if_updated=False, safe_mode=True)
    texts = [text for _, text in sorted(bag.import_errors.items())]
    result["errors"] = [_fault(root, path, text, mentioned) for text in texts]
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
        return [
            {
                "line": None,
                "kind": "syntax",
                "message": stack_traces.bounded(f"{type(fault).__name__}: {fault}"),
            }
        ]
    return []


def _mentioned(source: str) -> Mentions:
    try:
        return mentions(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Mentions()  # the parser says so better


def _told(mentioned: Mentions) -> Json:
    names = {name: getattr(mentioned, name) for name in ("variables", "connections", "removed")}
    return {name: sorted(found)[:_MOST_NAMES] for name, found in names.items()}


def _dags(bag: DagBag, root: Path) -> Json:
    if len(bag.dags) > _MOST_DAGS:
        sentence = f"The file declares {len(bag.dags):,} DAGs; {_MOST_DAGS:,} are the most for one file."
        return {"errors": [_import_error(sentence)]}
    found = [_serialized(dag, root) for dag in bag.dags.values()]
    faults = [one["error"] for one in found if "error" in one]
    return {"errors": faults} if faults else {"dags": found}


def _serialized(dag: Any, root: Path) -> Json:
    """Return a DAG as Airflow will serve it, or as ``error`` why it cannot be serialized."""
    try:
        return _dag(dag)
    except Exception as fault:
        reason = _readable(root, f"{type(fault).__name__}: {fault}")
        sentence = f"Airflow cannot serialize the DAG '{dag.dag_id}': {reason}"
        return {"error": _import_error(stack_traces.bounded(sentence))}


def _import_error(message: str) -> Json:
    return {"line": None, "kind": "import", "message": message}


def _dag(dag: Any) -> Json:
    """Serialize a DAG as the DAG processor does, and describe what Airflow will serve of it.

    The process that parses sends the DAG to the DAG processor in a frame of MessagePack. If that fails, Airflow notes
    no import error, and the DAG never appears: so for integers of more than 64 bits and lone surrogates.
    """
    data = DagSerialization.to_dict(dag)
    _RequestFrame(id=0, body={"data": data}).as_bytes()
    served = DagSerialization.from_dict(data)
    return {
        "dag_id": served.dag_id,
        "tasks": sorted(served.task_ids),
        "schedule": served.timetable.summary,
        "tags": sorted(served.tags),
    }


def _fault(root: Path, path: str, trace: str, mentioned: Mentions) -> Json:
    lines = re.findall(rf'File "{re.escape(str(root / path))}", line (\d+)', trace)
    message = stack_traces.message(trace) or "The file could not be imported."
    provider = _provider(trace)
    kind = "syntax" if message.startswith(_SYNTAX) else "provider" if provider else "import"
    hint = (
        _missing(provider)
        if provider
        else missing.explanation(trace, message, root, path, mentioned.environment - os.environ.keys())
    )
    return {
        "line": int(lines[-1]) if lines else None,
        "kind": kind,
        "message": _readable(root, stack_traces.with_hint(message, hint if kind != "syntax" else None)),
    }


def _missing(provider: str) -> str:
    return f"The provider '{provider}' is not installed: install it for this service and for Airflow."


def _readable(root: Path, text: str) -> str:
    """Return a text without the folders of the sandbox and of Python."""
    return stack_traces.readable(text, [str(root), *_beside(root)])


def _beside(root: Path) -> list[str]:
    """Return the folder of the bundle's other files, to which links in ``root`` lead."""
    for place, folders, names in os.walk(root):
        for link in (Path(place, name) for name in (*folders, *names)):
            if link.is_symlink():
                target, inner = str(link.readlink()), str(link.relative_to(root))
                return [target.removesuffix(f"/{inner}")]
    return []


def _provider(trace: str) -> str | None:
    """Return the distribution of the provider that an import did not find."""
    found = _PROVIDER.search(stack_traces.message(trace))
    if not found:
        return None
    parts = found[1].split(".")[:2]
    if parts[0] not in _NESTED:
        return _distribution(parts[0])
    # Of `airflow.providers.apache.spark` the first part is missed; the line that imports it has both.
    whole = re.search(rf"airflow\.providers\.{parts[0]}\.(\w+)", trace)
    return _distribution(*(parts if len(parts) > 1 or not whole else (parts[0], whole[1])))


def _distribution(*parts: str) -> str:
    return f"apache-airflow-providers-{'-'.join(parts)}".replace("_", "-")


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
