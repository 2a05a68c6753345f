"""Watching parses: what becomes of files that a DAG processor was asked for, until the last of them is decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.errors import ParseImportError
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import parsing

# The name of a bundle, and the path of a file in there.
File = tuple[str, str]

SERVED, BROKEN, GONE = "served", "broken", "gone"
# A file whose DAGs are still given up after so long has not come back; a request is seen within a second.
GONE_AFTER = timedelta(seconds=5)
# A DAG processor that was restarted has forgotten what it had taken up.
ASK_AGAIN_AFTER = timedelta(seconds=10)
# More files than this are not named one by one in a statement.
MANY = 50

_DAG = DagModel.__table__.c
_FAULT = ParseImportError.__table__.c
_VERSION = DagVersion.__table__.c


@dataclass(frozen=True)
class Outcome:
    """What became of a file: it is `served`, with the version of each of its DAGs, `broken` (why), or `gone`."""

    file: File
    state: str
    error: str | None = None
    dags: Mapping[str, int] = field(default_factory=dict)


class Watch:
    """Looks at all files that are not decided yet in a few queries, and asks again for those that got lost.

    An import error is believed when it is seen twice: the parse that told it first may have begun before the file
    was changed, and the one after it has not.
    """

    def __init__(self, files: Iterable[File], since: datetime) -> None:
        """Take the files that were asked for at the moment ``since``."""
        self._begin = self._asked = since
        self._since = dict.fromkeys(files, since)
        self._doubted: set[File] = set()
        self._useless: dict[File, datetime] = {}

    @property
    def undecided(self) -> list[File]:
        """The files of which nothing is known yet."""
        return list(self._since)

    def look(self) -> list[Outcome]:
        """Return what is decided since the last look."""
        if not self._since:
            return []
        again: set[File] = set()
        with reading() as session:
            found = [*self._broken(session, again), *self._served(session, again), *self._gone(session)]
        decided = {outcome.file: outcome for outcome in found if outcome.file not in again}
        for file in decided:
            del self._since[file]
        self._ask_again(again)
        return list(decided.values())

    def _broken(self, session: Session, again: set[File]) -> Iterable[Outcome]:
        for file, told, error in _faults(session, min(self._since.values())):
            if file not in self._since or told <= self._since[file]:
                continue
            if file in self._doubted:
                yield Outcome(file, BROKEN, error)
            else:
                self._doubted.add(file)
                self._since[file] = told
                again.add(file)

    def _served(self, session: Session, again: set[File]) -> Iterable[Outcome]:
        by_file: dict[File, list[parsing.Parse]] = {}
        for parse in parsing.parses(session, min(self._since.values()), _DAG.has_import_errors.is_not(True)):
            file = (parse.bundle_name, parsing.file_of(parse.relative_fileloc))
            if file in self._since and file not in again and parse.ended > self._since[file]:
                by_file.setdefault(file, []).append(parse)
        counting = {file: parsing.counted(parses, self._since[file]) for file, parses in by_file.items()}
        again |= self._lost({file: by_file[file] for file, parses in counting.items() if not parses})
        versions = _versions(session, [one.dag_id for parses in counting.values() for one in parses])
        for file, parses in counting.items():
            if parses:
                yield Outcome(file, SERVED, dags={one.dag_id: versions[one.dag_id] for one in parses})

    def _lost(self, by_file: Mapping[File, Iterable[parsing.Parse]]) -> set[File]:
        """Return the files whose last parse counts for nothing, once for each such parse."""
        last = {file: max(one.ended for one in parses) for file, parses in by_file.items()}
        lost = {file for file, ended in last.items() if self._useless.get(file) != ended}
        self._useless |= last
        return lost

    def _gone(self, session: Session) -> Iterable[Outcome]:
        if datetime.now(timezone.utc) - self._begin < GONE_AFTER:
            return
        statement = select(_DAG.bundle_name, _DAG.relative_fileloc, _DAG.is_stale, _DAG.has_import_errors)
        known: dict[File, bool] = {}
        for bundle, path, is_stale, is_broken in session.execute(
            statement.where(_DAG.relative_fileloc.is_not(None))
        ):
            file = (bundle, parsing.file_of(path))
            known[file] = known.get(file, True) and is_stale and not is_broken
        for file in self._since.keys() - self._doubted:
            if known.get(file) and not parsing.is_asked(session, *file):
                yield Outcome(file, GONE)

    def _ask_again(self, files: set[File]) -> None:
        now = datetime.now(timezone.utc)
        if now - self._asked > ASK_AGAIN_AFTER:
            files, self._asked = files | self._since.keys(), now
        if files:
            write(lambda session: request(session, files))


def request(session: Session, files: Collection[File]) -> None:
    """Ask for files, and let their next parse write what it finds."""
    parsing.ask_all(session, files)
    if len(files) > MANY:
        # Other DAGs of these bundles may be written earlier than Airflow would, which does no harm.
        parsing.expect_writes(session, _DAG.bundle_name.in_({bundle for bundle, _ in files}))
    elif files:
        parsing.expect_writes(session, or_(*(parsing.in_file(*file) for file in files)))


def _faults(session: Session, since: datetime) -> Iterable[tuple[File, datetime, str]]:
    statement = select(_FAULT.bundle_name, _FAULT.filename, _FAULT.timestamp, _FAULT.stacktrace)
    for bundle, path, told, error in session.execute(statement.where(_FAULT.timestamp > since)):
        yield (bundle, parsing.file_of(path)), told, error


def _versions(session: Session, dag_ids: list[str]) -> dict[str, int]:
    statement: Any = select(_VERSION.dag_id, func.max(_VERSION.version_number))
    chosen = statement.where(_VERSION.dag_id.in_(dag_ids)).group_by(_VERSION.dag_id)
    return {dag_id: int(number) for dag_id, number in session.execute(chosen)}
