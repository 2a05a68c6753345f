"""Parsing: asking Airflow's DAG processor to parse a file, and telling what came of it.

Three facts of Airflow 3.3 make it hard to tell whether what a file holds now is what Airflow serves:

- A parse that ends now may have begun before the file was changed. It counts when it began afterwards, and when it
  began is known from its end and how long it took.
- A changed DAG is written at most every `[core] min_serialized_dag_update_interval` seconds; what is parsed in
  between is dropped in silence (`SerializedDagModel.write_dag`). `expect_write` lets the next parse write.
- A request for a file that is being parsed at the moment is dropped as well
  (`DagFileProcessorManager._start_new_processes`). So whoever waits asks again where an observation says so.

Times are those of the DAG processor's clock, which has to agree with this host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.models.dagcode import DagCode
from airflow.models.errors import ParseImportError
from airflow.models.serialized_dag import SerializedDagModel
from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.sandbox import packages
from airflow_rest_api.services import jobs

_DAG = DagModel.__table__.c
_REQUEST: Any = DagPriorityParsingRequest.__table__
_SERIALISED = SerializedDagModel.__table__.c
_FAULT = ParseImportError.__table__.c
_VERSION, _NEWER = DagVersion.__table__.c, aliased(DagVersion)
_IS_LATEST = _VERSION.version_number == (
    select(func.max(_NEWER.version_number)).where(_NEWER.dag_id == _VERSION.dag_id).scalar_subquery()
)


class Served(NamedTuple):
    """What Airflow serves of a DAG: the number of its version, and the source as the file's text."""

    version_number: int
    source: str


@dataclass(frozen=True)
class Observation:
    """What came of a request: ``parsed``, or the stack trace of an import ``error``, or neither so far.

    ``dags`` are those of the file that were parsed. With ``is_lost`` a parse ended that counts for nothing, and may
    have swallowed the request: let the next one write, and ask again.
    """

    parsed: bool = False
    error: str | None = None
    dags: dict[str, Served] = field(default_factory=dict)
    is_lost: bool = False


@dataclass(frozen=True)
class Parse:
    """The last parse of a DAG: when it began and ended, and when what it found was last written."""

    dag_id: str
    bundle_name: str
    relative_fileloc: str
    began: datetime
    ended: datetime
    written: datetime

    @property
    def is_dropped(self) -> bool:
        """Whether Airflow may have dropped what it found, because it had written the DAG shortly before."""
        return self.ended - _interval() < self.written < self.ended


def file_of(relative_fileloc: str) -> str:
    """Return the file that is parsed for a DAG: the archive, where the DAG is in a zip file."""
    path = PurePosixPath(relative_fileloc)
    archives = [one for one in reversed(path.parents) if one.suffix == ".zip"]
    return str(archives[0]) if archives else relative_fileloc


def is_processor_alive(session: Session) -> bool:
    """Tell whether a DAG processor runs, by its heartbeat; one that was killed looks alive for half a minute."""
    heartbeat = jobs.youngest(session).get(jobs.DAG_PROCESSOR)
    return heartbeat is not None and jobs.is_alive(jobs.DAG_PROCESSOR, heartbeat)


def ask(session: Session, bundle_name: str, relative_fileloc: str) -> None:
    """Ask for a file to be parsed as soon as possible; a new file is found by it, too.

    The request waits for a DAG processor; one that waits already is enough.
    """
    ask_all(session, [(bundle_name, relative_fileloc)])


def ask_all(session: Session, files: Iterable[tuple[str, str]]) -> None:
    """Ask for many files, each given by its bundle and its path in there."""
    rows = [{"bundle_name": bundle, "relative_fileloc": path} for bundle, path in files]
    if rows:
        session.execute(_insert_missing(session.get_bind().dialect.name), rows)


def is_asked(session: Session, bundle_name: str, relative_fileloc: str) -> bool:
    """Tell whether a request for the file still waits for a DAG processor."""
    same = (_REQUEST.c.bundle_name == bundle_name, _REQUEST.c.relative_fileloc == relative_fileloc)
    return session.scalar(select(_REQUEST.c.id).where(*same)) is not None


def withdraw(session: Session, bundle_name: str, relative_fileloc: str) -> None:
    """Take a request back that no DAG processor has seen."""
    same = (_REQUEST.c.bundle_name == bundle_name, _REQUEST.c.relative_fileloc == relative_fileloc)
    session.execute(delete(_REQUEST).where(*same))


def expect_write(session: Session, bundle_name: str, relative_fileloc: str) -> None:
    """Let the next parse of a file write its DAGs, however lately Airflow has written them."""
    expect_writes(session, in_file(bundle_name, relative_fileloc))


def expect_writes(session: Session, *dags: ColumnElement[bool]) -> None:
    """Do it for all DAGs of which the conditions hold."""
    # Set back from what the processor's clock wrote, so that no other clock has a say.
    interval = _interval()
    lately = _SERIALISED.last_updated > datetime.now(timezone.utc) - 2 * interval - timedelta(minutes=1)
    chosen = _SERIALISED.dag_id.in_(select(_DAG.dag_id).where(*dags))
    found = session.execute(select(_SERIALISED.id, _SERIALISED.last_updated).where(chosen, lately))
    rows = [{"row": id_, "moment": written - interval} for id_, written in found]
    if rows:
        back = update(SerializedDagModel.__table__).where(_SERIALISED.id == bindparam("row"))
        session.execute(back.values(last_updated=bindparam("moment")), rows)


def observed(session: Session, bundle_name: str, relative_fileloc: str, since: datetime) -> Observation:
    """Tell what a DAG processor has done with a file since a moment, at which it was asked.

    An import error may be told by a parse that had begun before: to be sure of it, ask again, and see it again.
    """
    of_fault = fault_in_file(bundle_name, relative_fileloc)
    error = session.scalar(select(_FAULT.stacktrace).where(of_fault, _FAULT.timestamp > since).limit(1))
    if error is not None:
        return Observation(error=error)
    found = parses(session, since, in_file(bundle_name, relative_fileloc))
    counting = counted(found, since)
    if not counting:
        return Observation(is_lost=bool(found))
    return Observation(parsed=True, dags=served(session, [one.dag_id for one in counting]))


def began_after(moment: datetime, ended: datetime | None, seconds: float | None) -> bool:
    """Return whether a parse that ended at a time, and took so many seconds, began after a moment."""
    return ended is not None and ended - timedelta(seconds=seconds or 0.0) > moment


def counted(found: Iterable[Parse], since: datetime) -> list[Parse]:
    """Return those parses of one file that show what it held at a moment: none where one of them was dropped."""
    counting = [one for one in found if one.began > since]
    return [] if any(one.is_dropped for one in counting) else counting


def parses(session: Session, since: datetime, *dags: ColumnElement[bool]) -> list[Parse]:
    """Return the last parses of DAGs that ended after a moment, by the DAGs' conditions."""
    statement = (
        select(_DAG.dag_id, _DAG.bundle_name, _DAG.relative_fileloc, _DAG.last_parse_duration)
        .add_columns(
            _DAG.last_parsed_time, func.max(_SERIALISED.last_updated, type_=_DAG.last_parsed_time.type)
        )
        .join(SerializedDagModel.__table__, _SERIALISED.dag_id == _DAG.dag_id)
        .where(_DAG.last_parsed_time > since, _DAG.last_parse_duration.is_not(None), *dags)
        .group_by(*_DAG_COLUMNS)
    )
    return [
        Parse(dag_id, bundle_name, path, ended - timedelta(seconds=seconds), ended, written)
        for dag_id, bundle_name, path, seconds, ended, written in session.execute(statement)
    ]


_DAG_COLUMNS = (
    _DAG.dag_id,
    _DAG.bundle_name,
    _DAG.relative_fileloc,
    _DAG.last_parse_duration,
    _DAG.last_parsed_time,
)


def served(session: Session, dag_ids: Sequence[str]) -> dict[str, Served]:
    """Return what Airflow serves of these DAGs: their latest versions."""
    statement = (
        select(DagCode.dag_id, _VERSION.version_number, DagCode.source_code)
        .join(DagVersion.__table__, DagCode.dag_version_id == _VERSION.id)
        .where(_VERSION.dag_id.in_(dag_ids), _IS_LATEST)
    )
    return {dag_id: Served(number, source) for dag_id, number, source in session.execute(statement)}


def in_file(
    bundle_name: str, relative_fileloc: str, bundle: Any = _DAG.bundle_name, path: Any = _DAG.relative_fileloc
) -> ColumnElement[bool]:
    """Return the condition for rows of a file, or of an archive and what is in there; by default those of DAGs."""
    inside = path.startswith(f"{relative_fileloc}/", autoescape=True)
    found: ColumnElement[bool] = (bundle == bundle_name) & or_(path == relative_fileloc, inside)
    return found


def fault_in_file(bundle_name: str, relative_fileloc: str) -> ColumnElement[bool]:
    """Return the condition for import errors of a file.

    Of a module in an archive Airflow 3.3 keeps the absolute path (`PythonDagImporter._load_modules_from_zip`).
    """
    found = in_file(bundle_name, relative_fileloc, _FAULT.bundle_name, _FAULT.filename)
    if not file_of(relative_fileloc).endswith(packages.SUFFIX):
        return found
    absolute = or_(
        _FAULT.filename.endswith(f"/{relative_fileloc}", autoescape=True),
        _FAULT.filename.contains(f"/{relative_fileloc}/", autoescape=True),
    )
    return or_(found, (_FAULT.bundle_name == bundle_name) & absolute)


def _interval() -> timedelta:
    return timedelta(seconds=conf.getint("core", "min_serialized_dag_update_interval"))


def _insert_missing(dialect: str) -> Any:
    """Return the insert that leaves a request alone which waits already; its id is made of what it says."""
    if dialect == "mysql":
        return insert(_REQUEST).prefix_with("IGNORE")
    own_insert: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[dialect]
    return own_insert(_REQUEST).on_conflict_do_nothing()
