"""Verdicts: what was found in a file that was parsed in the sandbox.

What comes out of the sandbox was written by a process that has run the caller's code. It is read as a message of a
stranger: bounded, checked field by field, and never believed about any other file than those that were sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.sandbox.removed_names import CONTEXT
from airflow_rest_api.sandbox.strength import Strength

MAX_DAGS = 1000
MAX_TASKS = 10_000
MAX_TEXT = 4000
_MAX_NAMES = 500


class Unreadable(ValueError):
    """The message is not one that our own code wrote."""


@dataclass(frozen=True)
class ParseFault:
    """Why a file cannot be deployed.

    ``kind`` is `syntax`, `encoding`, `import`, `provider` (a provider's distribution is not installed), or what ended
    the parsing: `timeout`, `memory`, `output`, `exit`, `crash`. ``line`` counts from 1, None where no line is to blame.
    """

    path: str
    line: int | None
    kind: str
    message: str


@dataclass(frozen=True)
class ParsedDag:
    """A DAG that a file declares; ``schedule`` in Airflow's own words, ``tasks`` and ``tags`` sorted."""

    dag_id: str
    path: str
    tasks: tuple[str, ...]
    schedule: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True)
class ParsedFile:
    """What was found in one file.

    ``ignored_by`` is why Airflow does not look into it: `airflowignore` if a file `.airflowignore` names it,
    `safe_mode` if it lacks the words `airflow` and `dag` or lies below the root of an archive, else None.

    ``variables`` and ``connections`` are the ids that the source names, ``removed`` the template variables of Airflow 2
    that it uses, ``provider`` the distribution that is missing.
    """

    path: str
    ignored_by: str | None
    dags: tuple[ParsedDag, ...]
    errors: tuple[ParseFault, ...]
    variables: tuple[str, ...]
    connections: tuple[str, ...]
    provider: str | None
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What was found in all files that were sent, in so many ``seconds``, in a sandbox of this strength."""

    files: tuple[ParsedFile, ...]
    seconds: float
    sandbox: Strength
    ending: ParseFault | None = None

    @property
    def dags(self) -> tuple[ParsedDag, ...]:
        """The DAGs of all files."""
        return tuple(dag for file in self.files for dag in file.dags)

    @property
    def errors(self) -> tuple[ParseFault, ...]:
        """The faults of all files, and what ended the parsing before its time."""
        found = tuple(fault for file in self.files for fault in file.errors)
        return found if self.ending is None else (*found, self.ending)

    @property
    def ignored(self) -> tuple[ParsedFile, ...]:
        """The files that Airflow does not look into."""
        return tuple(file for file in self.files if file.ignored_by is not None)

    @property
    def missing_providers(self) -> tuple[str, ...]:
        """The distributions of providers that the files import and this machine lacks."""
        return tuple(sorted({file.provider for file in self.files if file.provider}))

    @property
    def variables(self) -> tuple[str, ...]:
        """The keys of variables that the sources name."""
        return tuple(sorted({name for file in self.files for name in file.variables}))

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of connections that the sources name."""
        return tuple(sorted({name for file in self.files for name in file.connections}))


def read(lines: Iterable[str], sent: Iterable[str]) -> tuple[list[ParsedFile], str | None, bool]:
    """Read what the parser wrote: the files it has parsed, the one it was at, and whether it came to its end.

    ``sent`` are the files that were sent. Raises `Unreadable` for anything that our parser does not write.
    """
    waiting, found, current, is_ended = set(sent), [], None, False
    for line in lines:
        message = _object(line)
        if is_ended:
            raise Unreadable("more after the end")
        if message.get("end") is True:
            is_ended = True
        elif "begin" in message:
            current = _one_of(message["begin"], waiting)
        else:
            found.append(_file(message, _one_of(message.get("path"), waiting)))
            waiting.discard(found[-1].path)
            current = None
    return found, current, is_ended and not waiting


def _object(line: str) -> Mapping[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise Unreadable("no JSON") from fault
    if not isinstance(message, dict):
        raise Unreadable("no object")
    return message


def _one_of(name: Any, known: set[str]) -> str:
    if not isinstance(name, str) or name not in known:
        raise Unreadable("a file that was not sent")
    return name


def _file(message: Mapping[str, Any], path: str) -> ParsedFile:
    return ParsedFile(
        path=path,
        ignored_by=None if message.get("ignored") is None else _text(message["ignored"], 20),
        dags=tuple(_dag(entry, path) for entry in _list(message, "dags", MAX_DAGS)),
        errors=tuple(_fault(entry, path) for entry in _list(message, "errors", MAX_DAGS)),
        variables=_names(message, "variables", _MAX_NAMES),
        connections=_names(message, "connections", _MAX_NAMES),
        removed=tuple(name for name in _names(message, "removed", _MAX_NAMES) if name in CONTEXT),
        provider=_text(message.get("provider"), MAX_TEXT) if message.get("provider") is not None else None,
    )


def _dag(entry: Any, path: str) -> ParsedDag:
    entry = _mapping(entry)
    schedule = entry.get("schedule")
    return ParsedDag(
        dag_id=_text(entry.get("dag_id"), 250),
        path=path,
        tasks=_names(entry, "tasks", MAX_TASKS),
        schedule=None if schedule is None else _text(schedule, MAX_TEXT),
        tags=_names(entry, "tags", _MAX_NAMES),
    )


def _fault(entry: Any, path: str) -> ParseFault:
    entry = _mapping(entry)
    line = entry.get("line")
    if line is not None and (type(line) is not int or not 0 < line < 1_000_000_000):
        raise Unreadable("no line")
    return ParseFault(path, line, _text(entry.get("kind"), 20), _text(entry.get("message"), MAX_TEXT))


def _mapping(entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise Unreadable("no object")
    return entry


def _list(message: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = message.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise Unreadable(f"no list of {name}")
    return found


def _names(message: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    return tuple(sorted({_text(entry, MAX_TEXT) for entry in _list(message, name, most)}))


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise Unreadable("no text")
    # Half of a surrogate pair is no text that an answer can be written with.
    return value.encode("utf-8", "replace").decode()
