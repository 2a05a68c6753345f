"""The parser: reads DAG files as Airflow's DAG processor does, and writes a line of JSON about each.

This runs the caller's code, in a process that ends afterwards.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.execution_time.comms import _RequestFrame
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import might_contain_dag

from airflow_rest_api.sandbox import packages, stack_traces
from airflow_rest_api.sandbox.child import missing
from airflow_rest_api.sandbox.child.ignoring import heeded
from airflow_rest_api.sandbox.child.mentions import Mentions, mentions

Json = dict[str, Any]
Write = Callable[[Json], None]

_MOST_NAMES, _MOST_DAGS = 500, 1000
_PROVIDER = re.compile(r"No module named 'airflow\.providers\.([a-z0-9_.]+)'")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
# Why Airflow does not look into a file.
_IGNORE_FILE, _SAFE_MODE = "airflowignore", "safe_mode"
_NOTHING: Json = {
    "ignored": None,
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
        modules = packages.modules(root / path) if path.endswith(packages.SUFFIX) else None
        names = [path] if modules is None else [f"{path}/{name}" for name in modules]
        if path not in looked_for:
            _write_all(write, {name: {**_NOTHING, "ignored": _IGNORE_FILE} for name in names})
        elif modules is None:
            # If the parser never comes back, the reader has to know at which file it was.
            write({"begin": path})
            _write_all(write, {path: _parsed(root, path, bundle_name)})
        elif names:
            write({"begin": names[0]})
            _write_all(write, _package(root, path, names, bundle_name))
    write({"end": True})


def _write_all(write: Write, found: Mapping[str, Json]) -> None:
    for path, result in found.items():
        write({"path": path, **result})


def _parsed(root: Path, path: str, bundle_name: str) -> Json:
    source, fault = _source((root / path).read_bytes())
    if fault:
        return {**_NOTHING, "errors": [fault]}
    if not might_contain_dag(str(root / path), _is_safe_mode()):
        return _skipped(source)
    bag = _bag(root, path, bundle_name)
    texts = [text for _, text in sorted(bag.import_errors.items())]
    return _found(root, path, source, texts, list(bag.dags.values()))


def _package(root: Path, path: str, names: Sequence[str], bundle_name: str) -> dict[str, Json]:
    """Parse a zip archive as Airflow does: the modules at its root, with the archive on Python's path."""
    _forget_modules(root)
    found, to_parse = {}, {}
    with zipfile.ZipFile(root / path) as archive:
        for name in names:
            module = name.removeprefix(f"{path}/")
            source, fault = _source(archive.read(module))
            if fault:
                found[name] = {**_NOTHING, "errors": [fault]}
            elif "/" in module or not might_contain_dag(module, _is_safe_mode(), archive):
                found[name] = _skipped(source)
            else:
                to_parse[name] = source
    bag = _bag(root, path, bundle_name)
    errors = {key.removeprefix(f"{root}/"): text for key, text in bag.import_errors.items()}
    # What Airflow finds wrong with a DAG after the import, it reports of the archive.
    of_archive = [text for name, text in sorted(errors.items()) if name not in to_parse]
    for name, source in to_parse.items():
        dags = [dag for dag in bag.dags.values() if dag.fileloc == str(root / name)]
        texts = [errors[name]] if name in errors else of_archive
        of_archive = [] if name not in errors else of_archive
        found[name] = _found(root, name, source, texts, dags)
    _forget_modules(root)
    return found


def _bag(root: Path, path: str, bundle_name: str) -> DagBag:
    bag = DagBag(
        dag_folder=str(root / path),
        collect_dags=False,
        load_op_links=False,
        bundle_path=root,
        bundle_name=bundle_name,
    )
    bag.process_file(str(root / path), only_if_updated=False, safe_mode=_is_safe_mode())
    return bag


def _is_safe_mode() -> bool:
    return conf.getboolean("core", "dag_discovery_safe_mode")


def _forget_modules(root: Path) -> None:
    """Let packages import modules of their own: Airflow parses each of them in another process."""
    folders = tuple(f"{folder}/" for folder in (root, *_beside(root)))
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(folders):
            del sys.modules[name]


def _skipped(source: str) -> Json:
    """Return the result for a file that Airflow does not parse; as another file may import it, it has to be Python."""
    return {**_NOTHING, "ignored": _SAFE_MODE, "errors": _unreadable(source)}


def _found(root: Path, path: str, source: str, traces: Sequence[str], dags: Sequence[Any]) -> Json:
    mentioned = _mentioned(source)
    result = {**_NOTHING, **_told(mentioned)}
    result["errors"] = [_fault(root, path, trace, mentioned) for trace in traces]
    result["provider"] = next((name for name in map(_provider, traces) if name), None)
    return result if traces else result | _dags(dags, root)


def _source(data: bytes) -> tuple[str, Json | None]:
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


def _dags(dags: Sequence[Any], root: Path) -> Json:
    if len(dags) > _MOST_DAGS:
        sentence = f"The file declares {len(dags):,} DAGs; {_MOST_DAGS:,} are the most for one file."
        return {"errors": [_import_error(sentence)]}
    found = [_serialized(dag, root) for dag in dags]
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
