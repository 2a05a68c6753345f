"""DAG refresh: Airflow parses files now, and the operation ends when what they hold is served, or cannot be."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models.dag import DagModel
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, operation, retries
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller, DagScope
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import parse_watch, parsing
from airflow_rest_api.services.deployments.parse_watch import BROKEN, GONE, SERVED, File, Outcome, Watch
from airflow_rest_api.services.report import Report

Entry = dict[str, Any]

ONE, ALL = "refresh_dag", "refresh_all_dags"
# How long after the request an operation ends, whatever the DAG processor does.
MOST = timedelta(seconds=60)
LOOK_SECONDS = 0.25
# How often a look at the heartbeat, and at whether the operation was cancelled, is due.
CHECK_SECONDS = 2.0
_WAITING = "waiting"
_STATES = (SERVED, BROKEN, GONE, _WAITING)
# The end of a stack trace says what happened.
ERROR_CHARACTERS = 8_000
# The DAGs that each file holds.
Held = dict[File, set[str]]
_DAG = DagModel.__table__.c


class DagHasNoFile(errors.Conflict):
    """Airflow does not know where the DAG's file is: it was last parsed by an Airflow before 3."""

    title = "The DAG has no file"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"Airflow does not know the file of the DAG '{dag_id}' in any bundle, so nothing can be parsed.",
            dag_id=dag_id,
        )


class RefreshGoesOn(errors.Conflict):
    """The caller's last refresh of everything has not ended."""

    title = "A refresh goes on"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"Your refresh of all DAGs '{operation_id}' goes on; wait for its end, or cancel it.",
            operation_id=operation_id,
        )


class NoDagProcessor(errors.Unavailable):
    """No DAG processor is alive that could parse anything."""

    title = "No DAG processor is alive"

    def __init__(self, **members: Any) -> None:
        super().__init__(
            "No DAG processor is alive; what was asked for stays queued in Airflow, and is parsed when one starts.",
            **members,
        )


class NotAllServed(errors.Unprocessable):
    """Some files could not be imported, are gone, or were not parsed in time."""

    title = "Not everything is served"

    def __init__(self, counts: dict[str, int], files: Collection[File]) -> None:
        told = {
            BROKEN: "could not be imported",
            GONE: "is gone",
            _WAITING: f"was not parsed within {MOST.seconds} s, or holds no DAG",
        }
        if len(files) == 1:
            ((bundle, path),) = files
            (state,) = [state for state in told if counts[state]]
            sentence = f"The file '{path}' of the bundle '{bundle}' {told[state]}."
        else:
            wrong = ", ".join(f"{counts[state]} × {words}" for state, words in told.items() if counts[state])
            sentence = f"Of {len(files)} files {counts[SERVED]} are served; the others: {wrong}."
        super().__init__(sentence, **counts)


def refresh_dag(dag_id: str, *, dry_run: bool, caller: Caller, background: Background) -> Entry:
    """Ask for the file of a DAG; return the operation that ends when what the file holds is served.

    Raises `DagNotFound`, `DagHasNoFile`, and `Denied` where the file holds a DAG that the caller may not change.
    """
    held = _file_of(dag_id)
    for one in sorted(set().union(*held.values())):
        caller.permissions.require_dag(one, "PUT")
    return _begin(ONE, held, dry_run=dry_run, caller=caller, background=background)


def refresh_all_dags(*, dry_run: bool, caller: Caller, background: Background) -> Entry:
    """Ask for every file of which the caller may change all DAGs; return the operation.

    Raises `RefreshGoesOn`.
    """
    held = _files_within(caller.permissions.dag_scope("PUT"))
    return _begin(ALL, held, dry_run=dry_run, caller=caller, background=background)


def refreshable(*, caller: Caller) -> list[str]:
    """Return the DAGs that `refresh_all_dags` asks for, in order."""
    held = _files_within(caller.permissions.dag_scope("PUT"))
    return sorted(set().union(*held.values()))


def ask_again(*, caller: Caller) -> None:
    """Ask for every file once more while a refresh of all DAGs of the caller goes on."""
    held = _files_within(caller.permissions.dag_scope("PUT"))
    write(lambda session: parse_watch.request(session, list(held)))


def _begin(kind: str, held: Held, *, dry_run: bool, caller: Caller, background: Background) -> Entry:
    request = _request(held, caller)

    def work(session: Session) -> Entry:
        going_on = operation.unfinished(session, ALL, caller) if kind == ALL else None
        if going_on is not None:
            raise RefreshGoesOn(going_on)
        parse_watch.request(session, list(held))
        operation_id = background.begin(session, kind, request, caller, total=len(held))
        return operation.get(session, operation_id)

    if dry_run:
        items = [_item(Outcome(file, _WAITING), request) for file in held]
        return {**operation.of_dry_run(dry_runs.undone(work)), "items": items}
    entry = write(lambda session: retries.done(session, work(session)))
    background.run(entry["operation_id"])
    return entry


def _request(held: Held, caller: Caller) -> Entry:
    """Return what the work has to know: the files, since when, and what of the outcome the caller may be told.

    Why an import failed is told to whoever may see import errors; of DAGs that are new in a file, and so may be
    anybody's, hears who may see all.
    """
    permissions = caller.permissions
    sees_all = permissions.dag_scope("GET").everything
    return {
        "files": sorted(held),
        "since": datetime.now(timezone.utc).isoformat(),
        "tells_errors": permissions.may_view("IMPORT_ERRORS"),
        "dag_ids": None if sees_all else sorted(set().union(*held.values())),
    }


def _file_of(dag_id: str) -> Held:
    """Return the file of a DAG, and the DAGs that it holds."""
    with reading() as session:
        place = select(_DAG.bundle_name, _DAG.relative_fileloc).where(_DAG.dag_id == dag_id)
        row = session.execute(place).one_or_none()
        if row is None:
            raise errors.DagNotFound(dag_id)
        if row.bundle_name is None or row.relative_fileloc is None:
            raise DagHasNoFile(dag_id)
        file = (row.bundle_name, parsing.file_of(row.relative_fileloc))
        return {file: set(session.scalars(select(_DAG.dag_id).where(parsing.in_file(*file))))}


def _files_within(scope: DagScope) -> Held:
    """Return the files that are there as far as Airflow knows, and hold no DAG outside of the scope."""
    there = or_(~_DAG.is_stale, _DAG.has_import_errors.is_(True))
    statement = select(_DAG.bundle_name, _DAG.relative_fileloc, _DAG.dag_id).where(
        there, _DAG.bundle_name.is_not(None), _DAG.relative_fileloc.is_not(None)
    )
    held: Held = defaultdict(set)
    with reading() as session:
        for bundle, path, dag_id in session.execute(statement):
            held[bundle, parsing.file_of(path)].add(dag_id)
    return {file: ids for file, ids in held.items() if scope.everything or ids <= scope.dag_ids}


def follow(request: Entry, report: Report) -> Entry:
    """Carry an operation out: tell what becomes of each file, until all are decided or the time is up.

    Raises `NoDagProcessor` and `NotAllServed`.
    """
    files: list[File] = [(bundle, path) for bundle, path in request["files"]]
    since = datetime.fromisoformat(request["since"])
    watch, counts = Watch(files, since), dict.fromkeys(_STATES, 0)
    for outcomes in _looks(watch, report, since + MOST):
        _tell(report, outcomes, counts, request)
    left = watch.undecided
    _tell(report, [Outcome(file, _WAITING) for file in left], counts, request)
    if counts[SERVED] == len(files):
        return dict(counts)
    if left and not _is_processor_alive():
        raise NoDagProcessor(**counts)
    raise NotAllServed(counts, files)


def _looks(watch: Watch, report: Report, end: datetime) -> Iterator[list[Outcome]]:
    """Yield what is decided by one look after the other; without a DAG processor there is not much to see."""
    check = 0.0
    while watch.undecided and datetime.now(timezone.utc) < end:
        yield watch.look()
        if watch.undecided and time.monotonic() >= check:
            report.check()
            if not _is_processor_alive():
                return
            check = time.monotonic() + CHECK_SECONDS
        if watch.undecided:
            time.sleep(LOOK_SECONDS)


def _is_processor_alive() -> bool:
    with reading() as session:
        return parsing.is_processor_alive(session)


def _tell(report: Report, outcomes: list[Outcome], counts: dict[str, int], request: Entry) -> None:
    for outcome in outcomes:
        counts[outcome.state] += 1
    if outcomes:
        report.items([_item(outcome, request) for outcome in outcomes])


def _item(outcome: Outcome, request: Entry) -> Entry:
    told = request["dag_ids"]
    error = outcome.error if request["tells_errors"] else None
    return {
        "bundle_name": outcome.file[0],
        "relative_fileloc": outcome.file[1],
        "state": outcome.state,
        "error": error and error[-ERROR_CHARACTERS:],
        "dags": [
            {"dag_id": dag_id, "version_number": number}
            for dag_id, number in sorted(outcome.dags.items())
            if told is None or dag_id in told
        ],
    }
