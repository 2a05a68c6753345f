"""Structure: DAGs as Airflow serialised them, which is what its scheduler and its API server work with.

Deserialising a DAG costs milliseconds. Readers share one copy per stored state through `read_latest`,
`read_version` and `derived`; writers, which let Airflow set attributes on a DAG, get a copy of their own
from `latest` and `of_run`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from airflow._shared.module_loading import qualname
from airflow.configuration import conf
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag
from airflow.models.serialized_dag import SerializedDagModel
from cachetools import LRUCache
from pydantic_core import to_jsonable_python
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.serialization.definitions.dag import SerializedDAG

log = logging.getLogger(__name__)

Value = TypeVar("Value")

# `[api] dag_cache_size` 0 means no limit, and an installation has no more DAGs than this.
_NO_LIMIT = 100_000


_DAG = SerializedDagModel.__table__
_VERSION = DagVersion.__table__
_STAMPS = select(_DAG.c.dag_version_id, _DAG.c.dag_hash, _DAG.c.last_updated, _DAG.c.dag_id)
_OF_VERSION = _STAMPS.where(_DAG.c.dag_version_id == bindparam("version_id"))
# The order of Airflow's own choice: version numbers are unique, times of creation need not be. The id is
# looked up among the versions, because the serialised DAGs have no index on it.
_LATEST = (
    _STAMPS.join(_VERSION, _DAG.c.dag_version_id == _VERSION.c.id)
    .where(_VERSION.c.dag_id == bindparam("dag_id"))
    .order_by(_VERSION.c.version_number.desc())
    .limit(1)
)


class StructureUnreadable(errors.Conflict):
    """What Airflow's database holds as the serialized form of a DAG cannot be deserialized."""

    title = "The DAG cannot be read"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The serialized form of the DAG '{dag_id}' in Airflow's database cannot be read. Let Airflow parse its"
            f" file again: `POST /dags/{dag_id}/refresh`.",
            dag_id=dag_id,
        )


class Stamp(NamedTuple):
    """One stored state of a DAG: Airflow rewrites a version in place as long as no task ran with it."""

    version_id: UUID
    dag_hash: str
    last_updated: datetime


class _Shelf:
    """What readers share, the least recently used thrown out first. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._entries: LRUCache[tuple[Any, Stamp], Any] = LRUCache(maxsize=size)

    def get(self, kind: Any, stamp: Stamp, make: Callable[[], Value]) -> Value:
        """Return what is kept, or make and keep it; two threads may make the same thing, nobody waits."""
        with self._lock:
            kept: Value | None = self._entries.get((kind, stamp))
        if kept is not None:
            return kept
        made = make()
        with self._lock:
            self._entries[kind, stamp] = made
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


def _cache_size() -> int:
    return conf.getint("api", "dag_cache_size", fallback=64) or _NO_LIMIT


# Whole DAGs are large; what is derived from them (the answer of a list) is small.
_dags = _Shelf(_cache_size())
_derived = _Shelf(_cache_size() * 8)


def require(dag_id: str, session: Session) -> None:
    """Raise `DagNotFound` unless Airflow has a serialised form of the DAG; one look at an index."""
    _latest_stamp(dag_id, session)


def latest(dag_id: str, session: Session) -> SerializedDAG:
    """Return a copy of one's own of the latest version of the DAG; raises `DagNotFound`."""
    with _reading(dag_id):
        dag = SerializedDagModel.get_dag(dag_id, session=session)
    if dag is None:
        raise errors.DagNotFound(dag_id)
    return dag


def of_run(run: DagRun, session: Session) -> SerializedDAG:
    """Return a copy of one's own of the version that the run goes on with; raises `DagNotFound`.

    A run of a bundle without versions goes on with the latest version.
    """
    with _reading(run.dag_id):
        dag = DBDagBag().get_dag_for_run(run, session=session)
    if dag is None:
        raise errors.DagNotFound(run.dag_id)
    return dag


def read_latest(dag_id: str, session: Session) -> SerializedDAG:
    """Return the shared copy of the latest version of the DAG, not to be changed; raises `DagNotFound`."""
    return _read(_latest_stamp(dag_id, session), session, dag_id)


def read_version(version_id: UUID, session: Session) -> SerializedDAG | None:
    """Return the shared copy of this version, not to be changed; none when it is gone."""
    found = session.execute(_OF_VERSION, {"version_id": version_id}).one_or_none()
    return _read(Stamp(*found[:3]), session, found.dag_id) if found else None


def derived(dag_id: str, session: Session, derive: Callable[[SerializedDAG], Value]) -> Value:
    """Return what ``derive`` makes of the latest version of the DAG, kept until that is stored anew.

    ``derive`` is a module's own function (it is part of the key) and its result is shared: neither the DAG
    nor the result may be changed. Raises `DagNotFound`.
    """
    stamp = _latest_stamp(dag_id, session)
    return _derived.get(derive, stamp, lambda: derive(_read(stamp, session, dag_id)))


def params(owner: Any) -> dict[str, Any] | None:
    """Return the params of a serialised DAG or task with their schemas, in JSON's types."""
    found: dict[str, Any] | None = plain({name: param.dump() for name, param in owner.params.items()})
    return found


def instant(value: datetime | None) -> datetime | None:
    """Turn a date of a serialised DAG, of a class that JSON writers refuse, into a plain one in UTC."""
    if value is None:
        return None
    utc = value.astimezone(timezone.utc)
    return datetime.combine(utc.date(), utc.time(), timezone.utc)


def plain(value: Any) -> Any:
    """Turn a value that came out of a serialised DAG into JSON's types as `/api/v2` does.

    Durations become ISO 8601, sets and tuples lists; of what has no form in JSON (the pod of an
    `executor_config`), the name of its type remains.
    """
    return to_jsonable_python(value, fallback=lambda unknown: qualname(type(unknown)))


def forget() -> None:
    """Throw away all shared copies."""
    _dags.clear()
    _derived.clear()


def _latest_stamp(dag_id: str, session: Session) -> Stamp:
    found = session.execute(_LATEST, {"dag_id": dag_id}).one_or_none()
    if found is None:
        raise errors.DagNotFound(dag_id)
    return Stamp(*found[:3])


def _read(stamp: Stamp, session: Session, dag_id: str) -> SerializedDAG:
    return _dags.get("dag", stamp, lambda: _deserialised(stamp, session, dag_id))


def _deserialised(stamp: Stamp, session: Session, dag_id: str) -> SerializedDAG:
    with _reading(dag_id):
        row = session.scalar(
            select(SerializedDagModel).where(SerializedDagModel.dag_version_id == stamp.version_id)
        )
        if row is None:
            raise errors.DagNotFound(dag_id)
        dag: SerializedDAG = row.dag
        return dag


@contextmanager
def _reading(dag_id: str) -> Iterator[None]:
    """Raise `StructureUnreadable` for any error of Airflow's deserialization, which raises errors of all kinds."""
    try:
        yield
    except (errors.Refusal, SQLAlchemyError):
        raise
    except Exception as fault:
        log.exception("The serialized form of the DAG %s cannot be read", dag_id)
        raise StructureUnreadable(dag_id) from fault
