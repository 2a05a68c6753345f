"""DAG deletion: what Airflow knows of a DAG, and with it the file, so that the DAG does not come back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from airflow.api.common import delete_dag as airflow
from airflow.exceptions import DagNotFound as NotThere
from airflow.models.dag import DagModel
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from airflow_rest_api.services import dag, errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import bundles, deployed_paths, deployment_storing, parsing
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.files import confined, durable_file
from airflow_rest_api.services.states import Precondition

_TABLE: Any = DagModel.__table__
_DAG = _TABLE.c
# How long a parse of a file may take at most that is waited for, since it may still bring the DAG back.
MOST_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_SETTLE_SECONDS = 0.5


class DagIsRunning(errors.Conflict):
    """Tasks of the DAG run, and would lose the rows that they report to."""

    title = "The DAG is running"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"Tasks of the DAG '{dag_id}' are running; end them before you delete it.", dag_id=dag_id
        )


class FileNotRemovable(errors.Conflict):
    """The file cannot be deleted with the DAG; nothing was done."""

    title = "The file cannot be deleted"

    def __init__(self, dag_id: str, reason: str, **members: Any) -> None:
        super().__init__(
            f"The file of the DAG '{dag_id}' cannot be deleted: {reason}.", dag_id=dag_id, **members
        )


class FileLeft(errors.Conflict):
    """The DAG is deleted, and the disk refused to give up its file."""

    title = "The file is left"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' is deleted, but its file could not be: it comes back with the next parse.",
            dag_id=dag_id,
        )


def delete_dag(dag_id: str, *, delete_file: bool, precondition: Precondition, caller: Caller) -> None:
    """Delete a DAG with its runs; the event log stays. With ``delete_file`` the file goes as well, and the DAG with it.

    Raises `DagNotFound`, `DagIsRunning`, `StateChanged`, and for the file `SwitchOff`, `PowerMissing`,
    `FileNotRemovable`, `DeploymentInProgress` and `PlacesOverlap`, all of which leave both as they are; and `FileLeft`.
    """
    if not delete_file:
        write(lambda session: _delete(session, dag_id, precondition))
        return
    caller.permissions.require_switch("deploy_enabled")
    caller.permissions.require_power("deploy")
    bundle, path = _place(dag_id)
    place, holder = Place(bundle.name, path), str(uuid4())
    with (
        deployed_paths.claimed(place, holder, deployment_storing.resolve) as claim,
        _removable(dag_id, bundle, path) as remove,
    ):
        seconds = write(lambda session: _delete(session, dag_id, precondition))
        gone = datetime.now(timezone.utc)
        # Not before: a DAG processor that finds the file gone updates the rows, and ends when they are deleted in
        # that moment (`DagFileProcessorManager.deactivate_deleted_dags`, Airflow 3.3).
        remove()
        # What was deployed there is there no more, and cannot be undone.
        write(lambda session: claim.release(session, current=None))
    _keep_away(dag_id, gone, min(seconds + 2 * _LOOK_SECONDS, MOST_SECONDS))


def _delete(session: Session, dag_id: str, precondition: Precondition | None = None) -> float:
    """Delete the rows of a DAG; return how many seconds its file was last parsed for."""
    state = dag.locked(session, dag_id)
    if precondition is not None:
        precondition.require(state)
    seconds = session.scalar(select(_DAG.last_parse_duration).where(_DAG.dag_id == dag_id))
    try:
        airflow.delete_dag(dag_id, session=session)
    except NotThere:
        raise errors.DagNotFound(dag_id) from None
    except AirflowException:
        raise DagIsRunning(dag_id) from None
    return seconds or 0.0


def _place(dag_id: str) -> tuple[Bundle, str]:
    """Return where the file of a DAG is: found by what Airflow has parsed, never by the DAG's id."""
    with reading() as session:
        statement = select(_DAG.bundle_name, _DAG.relative_fileloc).where(_DAG.dag_id == dag_id)
        row = session.execute(statement).one_or_none()
        if row is None:
            raise errors.DagNotFound(dag_id)
        if row.bundle_name is None or row.relative_fileloc is None:
            raise FileNotRemovable(dag_id, "Airflow does not know where it is")
        path = parsing.file_of(row.relative_fileloc)
        others = _others(session, dag_id, row.bundle_name, path)
    if others:
        names = ", ".join(f"'{other}'" for other in others[:5])
        raise FileNotRemovable(dag_id, f"it holds further DAGs ({names})", dag_ids=others)
    return _local_bundle(dag_id, row.bundle_name), path


def _others(session: Session, dag_id: str, bundle_name: str, path: str) -> list[str]:
    """Return the other DAGs of a file; a stale one has left it, unless nothing of it can be imported."""
    held = or_(~_DAG.is_stale, _DAG.has_import_errors.is_(True))
    statement = select(_DAG.dag_id).where(parsing.in_file(bundle_name, path), held, _DAG.dag_id != dag_id)
    return list(session.scalars(statement.order_by(_DAG.dag_id).limit(100)))


def _local_bundle(dag_id: str, name: str) -> Bundle:
    found = next((bundle for bundle in bundles.every() if bundle.name == name), None)
    if found is None:
        raise FileNotRemovable(dag_id, f"Airflow has no bundle '{name}' any more", bundle_name=name)
    if found.kind != bundles.LOCAL:
        reason = f"the bundle '{name}' is no local folder but of the kind {found.kind}"
        raise FileNotRemovable(dag_id, reason, bundle_name=name)
    if found.why_not is not None:
        raise FileNotRemovable(dag_id, f"of the bundle '{name}' {found.why_not}", bundle_name=name)
    return found


@contextmanager
def _removable(dag_id: str, bundle: Bundle, path: str) -> Iterator[Callable[[], None]]:
    """Give what removes the file, after seeing that it can be; one that is not there is removed already."""
    assert bundle.path is not None
    with ExitStack() as stack:
        try:
            *folders, name = confined.segments(path)
            folder = stack.enter_context(confined.open_folder(bundle.path, folders))
            kind = confined.kind_at(folder, name)
        except confined.PathNotFound:
            yield lambda: None
            return
        except (confined.BadPath, confined.PathBlocked):
            kind = "other"
        if kind not in (None, "file"):
            reason = "it is no plain file, or the way to it leads through a link"
            raise FileNotRemovable(dag_id, reason)
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
            raise FileNotRemovable(dag_id, "its folder cannot be written to by this service")
        yield lambda: _remove(dag_id, folder, name)


def _remove(dag_id: str, folder: int, name: str) -> None:
    try:
        durable_file.remove(folder, name)
    except confined.PathNotFound:
        pass
    except errors.Refusal as refusal:
        raise FileLeft(dag_id) from refusal


def _keep_away(dag_id: str, gone: datetime, seconds: float) -> None:
    """Delete the DAG once more if a parse brings it back that had begun while the file was there."""
    with reading() as session:
        if not parsing.is_processor_alive(session):
            return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        with reading() as session:
            found = parsing.parses(session, gone, _DAG.dag_id == dag_id)
        if found:
            # A DAG processor is about to find the file gone. It changes no row that is stale already, so that none
            # may be missing to it.
            write(
                lambda session: session.execute(
                    update(_TABLE).where(_DAG.dag_id == dag_id).values(is_stale=True)
                )
            )
            time.sleep(_SETTLE_SECONDS)
            write(lambda session: _delete(session, dag_id))
            return
