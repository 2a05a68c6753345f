"""Deployed DAGs: what Airflow has of the DAGs of a file, before and after it is deployed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.errors import ParseImportError
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services.deployments import deployment_rows, parsing
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place

Entry = dict[str, Any]

_DAG = DagModel.__table__.c
_FAULT = ParseImportError.__table__.c


def at(session: Session, place: Place) -> dict[str, str]:
    """Return the DAGs that Airflow has of a file or folder, and their paths in the bundle."""
    found = (parsing.in_file(place.bundle_name, place.path), _DAG.is_stale.is_(False))
    rows = session.execute(select(_DAG.dag_id, _DAG.relative_fileloc).where(*found))
    return {row.dag_id: row.relative_fileloc for row in rows}


def present_at(session: Session, place: Place) -> set[str]:
    """Return the ids of DAGs that Airflow has of a place, and of those that were deployed there and not parsed yet."""
    former = deployment_rows.current(session, place)
    return {*at(session, place), *(former.options["dags"] if former is not None else ())}


def ever_at(session: Session, place: Place) -> list[str]:
    """Return the DAGs of a file or folder, those included that Airflow did not find there any more."""
    mine = parsing.in_file(place.bundle_name, place.path)
    return list(session.scalars(select(_DAG.dag_id).where(mine)))


def before(session: Session, place: Place, content: Content | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return all DAGs that may be at a place, and those that its content has, as far as anybody knows.

    Airflow learns of a DAG that is gone a while later; of what was deployed, the deployment knows.
    """
    known = at(session, place)
    former = deployment_rows.current(session, place)
    if former is None or content is None or former.sha256 != content.sha256:
        return known, known if content is not None else {}
    return {**known, **former.options["dags"]}, dict(former.options["dags"])


def is_broken(session: Session, place: Place) -> bool:
    """Tell whether Airflow could not import what is at a place when it last tried."""
    mine = parsing.fault_in_file(place.bundle_name, place.path)
    return session.scalar(select(_FAULT.id).where(mine).limit(1)) is not None


def note_new(session: Session, place: Place, dags: Mapping[str, str]) -> list[str]:
    """Make DAGs known to Airflow that it does not know, as paused ones; return their ids.

    Airflow would make them itself at the first parse, and paused or not as `[core] dags_are_paused_at_creation` and
    the file say: a schedule could begin before anybody has looked. Stale until they are parsed, they are in no list.
    """
    known = set(session.scalars(select(_DAG.dag_id).where(_DAG.dag_id.in_(list(dags)))))
    new = sorted(set(dags) - known)
    if new and session.get(DagBundleModel, place.bundle_name) is None:
        session.add(DagBundleModel(name=place.bundle_name))
        session.flush()
    for dag_id in new:
        session.add(
            DagModel(
                dag_id=dag_id,
                bundle_name=place.bundle_name,
                relative_fileloc=dags[dag_id],
                is_paused=True,
                is_stale=True,
            )
        )
    session.flush()
    return new


def forget_new(session: Session, dag_ids: Iterable[str]) -> None:
    """Take DAGs back that were made known and that Airflow has not seen since."""
    unseen = (_DAG.dag_id.in_(list(dag_ids)), _DAG.last_parsed_time.is_(None), _DAG.is_stale)
    session.execute(delete(DagModel.__table__).where(*unseen))


def served(session: Session, row: Any) -> list[Entry] | None:
    """Return the versions of a deployment's DAGs where Airflow serves all of them from its content, else None."""
    dags, sources = row.options["dags"], row.options["sources"]
    stale = select(_DAG.dag_id).where(_DAG.dag_id.in_(list(dags)), _DAG.is_stale)
    if session.scalar(stale.limit(1)) is not None:
        return None
    found = parsing.served(session, list(dags))
    if any(
        dag_id not in found or source_hash(found[dag_id].source) != sources[path]
        for dag_id, path in dags.items()
    ):
        return None
    return [{"dag_id": dag_id, "version_number": found[dag_id].version_number} for dag_id in sorted(dags)]


def are_gone(session: Session, dag_ids: Iterable[str], place: Place) -> bool:
    """Tell whether Airflow serves none of these DAGs from a place any more."""
    present = (_DAG.dag_id.in_(list(dag_ids)), _DAG.is_stale.is_(False))
    mine = parsing.in_file(place.bundle_name, place.path)
    return session.scalar(select(_DAG.dag_id).where(*present, mine).limit(1)) is None


def retire_removed(session: Session, place: Place, kept: Iterable[str], since: datetime) -> None:
    """Mark the DAGs of a place as stale that its content does not declare any more.

    Airflow does so `[scheduler] parsing_cleanup_interval` and `[dag_processor] stale_dag_threshold` later, and until
    then a removed id can be triggered. A DAG that a parse since the moment ``since`` has found is not removed: a file
    may declare DAGs that depend on Airflow's environment.
    """
    mine = (parsing.in_file(place.bundle_name, place.path), _DAG.dag_id.not_in(list(kept)))
    columns = (_DAG.dag_id, _DAG.last_parsed_time, _DAG.last_parse_duration)
    found = session.execute(select(*columns).where(*mine, _DAG.is_stale.is_(False)))
    retire(session, place, [row.dag_id for row in found if not parsing.began_after(since, *row[1:])])


def retire(session: Session, place: Place, dag_ids: Iterable[str]) -> None:
    """Mark these DAGs as stale, as far as they are at a place."""
    mine = (parsing.in_file(place.bundle_name, place.path), _DAG.dag_id.in_(list(dag_ids)))
    session.execute(update(DagModel.__table__).where(*mine).values(is_stale=True))


def set_paused(session: Session, row: Any) -> None:
    """Pause the DAGs of a deployment that is live, or let them run, as it was asked for."""
    if row.options["pause"] or row.options["unpause"]:
        mine = _DAG.dag_id.in_(list(row.options["dags"]))
        statement = update(DagModel.__table__).where(mine)
        session.execute(statement.values(is_paused=row.options["pause"]))


def source_hash(source: str) -> str:
    """Return the hash by which the source that Airflow serves is compared."""
    return hashlib.sha256(source.encode()).hexdigest()
