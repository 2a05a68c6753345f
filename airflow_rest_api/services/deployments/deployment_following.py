"""Following deployments: from files that are stored to DAGs that Airflow serves, or back to the files from before.

Every process that follows follows all deployments, whoever began them, so that those of a process that died go on.
Each step is a change of the row from the state in which it was read: of many followers one makes it.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any
from weakref import WeakSet

from sqlalchemy import update
from sqlalchemy.orm import Session

from airflow_rest_api.sandbox import stack_traces
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import (
    bundles,
    deployed_dags,
    deployed_paths,
    deployment_storing,
    deployment_undoing,
    parsing,
)
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments.parsing import Observation
from airflow_rest_api.storage.tables import deployment as table

log = logging.getLogger(__name__)

# How often is looked while there is something to be seen, and while there is nothing.
BUSY_SECONDS, IDLE_SECONDS = 0.25, 5.0
# How long a DAG processor may take to begin again, to see the files, and until it is asked once more.
_RESTART = timedelta(seconds=15)
_PATIENCE = timedelta(minutes=10)
_AGAIN = timedelta(seconds=10)
_SOON = timedelta(seconds=1)
# A repository that does not answer is not asked four times a second.
_AFTER_FAULT = timedelta(seconds=5)
_STOP_SECONDS = 5.0


# Whoever follows at present in this process.
_FOLLOWING: WeakSet[Following] = WeakSet()


class Following:
    """Follows deployments in a thread of its own, from the first one that this process begins."""

    def __init__(self, on_fault: Callable[[], None] = lambda: None) -> None:
        """Take what to do at a fault of this service."""
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake, self._stopping = threading.Event(), threading.Event()
        # Deployments at which something failed, and when to look at them again.
        self._later: dict[str, datetime] = {}

    def run(self) -> None:
        """Follow what was just stored, without waiting for the next look."""
        self.keep()
        self._wake.set()

    def keep(self) -> None:
        """Follow from now on, first what others have left; a repeated call changes nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="rest-api-following", daemon=True)
                self._thread.start()
                _FOLLOWING.add(self)

    def stop(self) -> None:
        """Follow nothing any more, after what is being looked at; `run` and `keep` begin anew."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
            self._wake.set()
            if thread is not None:
                thread.join(_STOP_SECONDS)
            self._stopping.clear()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            busy = self._try_to_look()
            self._wake.wait(BUSY_SECONDS if busy else IDLE_SECONDS)
            self._wake.clear()

    def _try_to_look(self) -> bool:
        try:
            return self.look()
        except Exception:
            log.exception("The deployments could not be followed")
            self._on_fault()
            return False

    def look(self) -> bool:
        """Move all deployments on as far as they are; tell whether there are some that have not come to an end."""
        with reading() as session:
            waiting = rows.unfinished(session)
        now = _now()
        self._later = {name: when for name, when in self._later.items() if when > now}
        for row in waiting:
            if row.id not in self._later:
                self._follow(row)
        return bool(waiting)

    def _follow(self, row: Any) -> None:
        try:
            follow(row)
        except Exception:
            log.exception("The deployment %s could not be followed", row.id)
            self._later[row.id] = _now() + _AFTER_FAULT
            self._on_fault()


def stop_all() -> None:
    """Stop all following in this process: at its end, Airflow puts its sessions away before threads end."""
    for following in list(_FOLLOWING):
        following.stop()
        _FOLLOWING.discard(following)


atexit.register(stop_all)


def follow(row: Any) -> None:
    """Move one deployment on as far as it is."""
    if row.state == rows.CHECKED:
        deployment_storing.resolve_if_lost(row)
    elif deployment_undoing.is_begun(row):
        deployment_undoing.undo(row)
    elif row.sha256 is None:
        _follow_removal(row)
    else:
        _follow_content(row)


def _follow_removal(row: Any) -> None:
    def work(session: Session) -> None:
        if deployed_dags.are_gone(session, row.options["replaced"], rows.place_of(row)):
            _live(session, row, [])
        else:
            _wait(session, row)

    write(work)


def _follow_content(row: Any) -> None:
    with reading() as session:
        seen = _observed(session, row)
        error = next((one.error for one in seen if one.error is not None), None)
    if error is not None and _is_sure(row):
        deployment_undoing.begin(row, "import", _readable(row, error))
    elif error is not None:
        write(lambda session: _ask_again(session, row, confirmed=True))
    elif missing := _missing(row, seen):
        sentence = f"The DAG processor found no DAG '{missing[0]}' in the file."
        deployment_undoing.begin(row, "dag_missing", sentence)
    else:
        write(lambda session: _advance(session, row, seen))


def _observed(session: Session, row: Any) -> list[Observation]:
    """Return what came of the files in which the deployment's DAGs are, and of a folder's others their errors."""
    paths = sorted(set(row.options["dags"].values()))
    found = [parsing.observed(session, row.bundle_name, path, row.asked_at) for path in paths]
    if row.path not in paths:
        found.append(
            Observation(error=parsing.observed(session, row.bundle_name, row.path, row.asked_at).error)
        )
    return found


def _is_sure(row: Any) -> bool:
    """Tell whether an import error is the new content's: a parse that had begun before tells of the old one."""
    return not row.options["was_broken"] or bool(row.options.get("confirmed"))


def _readable(row: Any, trace: str) -> str:
    """Return the exception of a stack trace, without the frames and the folder of the bundle."""
    with suppress(bundles.BundleNotFound):
        folder = bundles.find(row.bundle_name).path
        return stack_traces.readable(stack_traces.message(trace), [str(folder)] if folder else [])
    return stack_traces.message(trace)


def _missing(row: Any, seen: list[Observation]) -> list[str]:
    """Return the DAGs that the DAG processor did not find, though it has parsed the files."""
    files = [one for one in seen if one.parsed]
    if len(files) < len(set(row.options["dags"].values())) or _now() - row.asked_at < 3 * _SOON:
        return []
    return sorted(set(row.options["dags"]).difference(*(one.dags for one in files)))


def _advance(session: Session, row: Any, seen: list[Observation]) -> None:
    files = len(set(row.options["dags"].values()))
    parsed = sum(one.parsed for one in seen) == files
    versions = deployed_dags.served(session, row) if parsed else None
    if versions is not None:
        _live(session, row, versions)
        return
    if parsed and row.state == rows.STORED:
        rows.advance(session, row, rows.PARSED)
    elif any(one.is_lost for one in seen) or (parsed and _now() - row.asked_at > _SOON):
        _ask_again(session, row)
    else:
        _wait(session, row)


def _live(session: Session, row: Any, versions: list[dict[str, Any]]) -> None:
    if deployed_paths.current(session, rows.place_of(row)) != row.id:
        return
    before = (rows.PARSED,) if row.state == rows.STORED else ()
    if rows.advance(session, row, *before, rows.LIVE, dag_versions=versions):
        deployed_dags.set_paused(session, row)
        deployed_dags.retire_removed(session, rows.place_of(row), row.options["dags"], row.asked_at)


def _ask_again(session: Session, row: Any, **options: Any) -> None:
    """Ask for another parse, and count nothing that ended before."""
    as_read = (table.c.id == row.id, table.c.state == row.state, table.c.asked_at == row.asked_at)
    values = {"asked_at": _now(), "options": {**row.options, **options}}
    result: Any = session.execute(update(table).where(*as_read).values(**values))
    if result.rowcount == 1:
        deployment_storing.ask(session, rows.place_of(row), row.options)


def _wait(session: Session, row: Any) -> None:
    """Go on waiting, unless that makes no sense any more."""
    now = _now()
    if now - row.stored_at > _PATIENCE:
        _fail(session, row, "timeout", "The DAG processor has not parsed the file within ten minutes.")
    elif now - row.stored_at > _RESTART and not parsing.is_processor_alive(session):
        sentence = (
            "No DAG processor is alive, so nobody can tell whether Airflow takes the file; it stays stored."
        )
        _fail(session, row, "processor", sentence)
    elif now - row.asked_at > _AGAIN and not _is_asked(session, row):
        _ask_again(session, row)


def _is_asked(session: Session, row: Any) -> bool:
    paths = {*row.options["dags"].values(), *row.options["replaced"].values()}
    return any(parsing.is_asked(session, row.bundle_name, parsing.file_of(path)) for path in paths)


def _fail(session: Session, row: Any, kind: str, sentence: str) -> None:
    rows.advance(session, row, rows.FAILED, errors=[*row.errors, rows.error(row.path, kind, sentence)])


def _now() -> datetime:
    return datetime.now(timezone.utc)
