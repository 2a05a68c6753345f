"""What the validation lacks: explain errors of files that need more than the sandbox has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from airflow_rest_api.sandbox import removed_names

_ENVIRONMENT = re.compile(r'File "(?:<frozen os>|[^"]*/os\.py)", line \d+, in __getitem__\n')
_KEY = re.compile(r"^KeyError: '(.+)'$", re.MULTILINE)
_VARIABLE = re.compile(r"Variable ['\"]?([^'\"\s]+)['\"]? (?:not found|does not exist)")
_CONNECTION = re.compile(r"conn_id [`']([^`']+)[`'] isn't defined|CONNECTION_NOT_FOUND")
_SETTING = re.compile(r"section/key \[([^\]]+)\] not found in config")
_NETWORK = re.compile(
    r"name resolution|Name or service not known|nodename nor servname|Failed to resolve|getaddrinfo failed"
    r"|Network is unreachable|No route to host|Connection refused|NewConnectionError|NameResolutionError"
)
_SOCKET = re.compile(r'File "[^"]*/socket\.py", line \d+')
_FORBIDDEN = re.compile(r"^PermissionError: \[Errno (?:1|13)\]", re.MULTILINE)
_NO_FILE = re.compile(
    r"^(?:FileNotFoundError|NotADirectoryError): \[Errno \d+\] [^:]*: '([^']+)'", re.MULTILINE
)
_NO_WRITE = re.compile(
    r"^(?:OSError: \[Errno 30\]|PermissionError: \[Errno (?:1|13)\]) [^:]*: '([^']+)'", re.MULTILINE
)
_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)


def explanation(trace: str, message: str, root: Path, path: str, variables: Iterable[str]) -> str | None:
    """Return a sentence on what a file needs at import and the validation lacks, and what to do; else None.

    ``trace`` is the stack trace, and ``message`` what it ends with. ``variables`` are the environment variables that
    the file reads without a default.
    """
    return (
        removed_names.advice(message)
        or _of_airflow(message)
        or _of_environment(trace, message)
        or _of_network(trace, message)
        or _of_files(message, root)
        or _of_modules(message, root, path)
        or _of_unset(variables)
    )


def _of_airflow(message: str) -> str | None:
    if found := _VARIABLE.search(message):
        return (
            f"The validation runs without Airflow's variables: read '{found[1]}' in a task or in a template, or"
            " give a default."
        )
    if found := _CONNECTION.search(message):
        name = f"'{found[1]}'" if found[1] else "the connection"
        return (
            "The validation runs without Airflow's connections: read"
            f" {name} in a task, or pass its id to an operator."
        )
    if found := _SETTING.search(message):
        return f"The validation runs without Airflow's configuration: read '{found[1]}' in a task, or give a fallback."
    return None


def _of_environment(trace: str, message: str) -> str | None:
    found = _KEY.search(message)
    if found is None or _ENVIRONMENT.search(trace) is None:
        return None
    return (
        f"The validation runs without the environment variables of Airflow: read '{found[1]}' in a task, or give a"
        f" default with os.environ.get('{found[1]}', …)."
    )


def _of_network(trace: str, message: str) -> str | None:
    is_cut_off = _FORBIDDEN.search(message) and _SOCKET.search(trace)
    if _NETWORK.search(message) or is_cut_off:
        return "The validation runs without a network: move the call into a task."
    return None


def _of_files(message: str, root: Path) -> str | None:
    if found := _NO_FILE.search(message):
        return _of_file(found[1], root)
    if _NO_WRITE.search(message):
        return (
            "The validation sees the bundle and Python's packages, and can write temporary files only: open files of"
            " the bundle relative to Path(__file__).parent, and write files in a task."
        )
    return None


def _of_file(name: str, root: Path) -> str:
    if not name.startswith("/"):
        return (
            "A relative path depends on the folder in which Airflow runs: open files of the bundle relative to"
            " Path(__file__).parent."
        )
    if Path(name).is_relative_to(root):
        return "The bundle has no such file: deploy it first, or send it in the same archive."
    return (
        "The validation sees the bundle and Python's packages, and no other folders: put the file into the bundle and"
        " open it relative to Path(__file__).parent, or read it in a task."
    )


def _of_modules(message: str, root: Path, path: str) -> str | None:
    found = _NO_MODULE.search(message)
    if found is None:
        return None
    name = found[1].partition(".")[0]
    for folder in list(Path(path).parents)[:-1]:
        if (root / folder / f"{name}.py").exists() or (root / folder / name).is_dir():
            package = str(folder).replace("/", ".")
            return f"Airflow imports from the root of the bundle: write 'from {package} import {name}'."
    if name == "airflow":
        return None
    return (
        f"Neither the bundle nor the Python environment of this service has '{name}': install it for this service and"
        " for Airflow, or send it in the same archive."
    )


def _of_unset(variables: Iterable[str]) -> str | None:
    names = ", ".join(f"'{name}'" for name in sorted(variables)[:10])
    if not names:
        return None
    return (
        f"The validation runs without the environment variables of Airflow, and the file reads {names}: give a"
        " default, or read them in a task."
    )
