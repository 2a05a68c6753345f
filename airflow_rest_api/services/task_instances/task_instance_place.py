"""Task instance places: what a path names (a DAG, a run, a task), as conditions, and the DAG's structure there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from airflow.models.serialized_dag import SerializedDagModel
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.task_instances.task_instance_rows import RUN, TASK_INSTANCE

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

ALL = "~"
Conditions = tuple[ColumnElement[bool], ...]

_SERIALIZED = SerializedDagModel.__table__
_VERSION_OF_RUN = (
    select(RUN.c.created_dag_version_id, RUN.c.bundle_version, _SERIALIZED.c.dag_version_id.is_not(None))
    .select_from(RUN.outerjoin(_SERIALIZED, _SERIALIZED.c.dag_version_id == RUN.c.created_dag_version_id))
    .where(RUN.c.dag_id == bindparam("dag_id"), RUN.c.run_id == bindparam("run_id"))
)


class RunNeedsDag(errors.Malformed):
    """A run was named without its DAG."""

    title = "A run needs its DAG"

    def __init__(self) -> None:
        super().__init__(
            "The id of a run means nothing without its DAG; name the DAG, or '~' for the run, too."
        )


class GroupNeedsDag(errors.Malformed):
    """A task group was named without its DAG."""

    title = "A task group needs its DAG"

    def __init__(self) -> None:
        super().__init__("The id of a task group means nothing without its DAG; name the DAG.")


class TaskGroupNotFound(errors.NotFound):
    """The DAG has no such task group."""

    title = "Task group not found"

    def __init__(self, dag_id: str, task_group_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has no task group '{task_group_id}'.",
            dag_id=dag_id,
            task_group_id=task_group_id,
        )


class Version(NamedTuple):
    """The version of its DAG that a run was made from, and whether Airflow still has it."""

    id: UUID | None
    bundle_version: str | None
    stored: bool


def of_path(session: Session, dag_id: str, dag_run_id: str, task_group_id: str | None = None) -> Conditions:
    """Return the conditions of a path in which `~` stands for all, and of a group of the DAG's tasks.

    Raises `RunNeedsDag`, `DagRunNotFound`, `DagNotFound`, `GroupNeedsDag` and `TaskGroupNotFound`.
    """
    if dag_id == ALL:
        if dag_run_id != ALL:
            raise RunNeedsDag
        if task_group_id is not None:
            raise GroupNeedsDag
        return ()
    conditions = [TASK_INSTANCE.c.dag_id == dag_id]
    version = None
    if dag_run_id != ALL:
        conditions.append(TASK_INSTANCE.c.run_id == dag_run_id)
        version = _version_of_run(session, dag_id, dag_run_id)
    if task_group_id is not None:
        group = _tasks_of_group(_structure(session, dag_id, version), task_group_id)
        conditions.append(TASK_INSTANCE.c.task_id.in_(group))
    elif version is None or not version.stored:
        _require_structure(session, dag_id, version)
    return tuple(conditions)


def of_task(dag_id: str, dag_run_id: str, task_id: str) -> Conditions:
    """Return the conditions of one task of one run."""
    return (
        TASK_INSTANCE.c.dag_id == dag_id,
        TASK_INSTANCE.c.run_id == dag_run_id,
        TASK_INSTANCE.c.task_id == task_id,
    )


def structure_of_run(session: Session, dag_id: str, dag_run_id: str) -> SerializedDAG:
    """Return the shared structure that a run was made from, or the latest where there is no such run.

    Raises `DagNotFound`.
    """
    try:
        version = _version_of_run(session, dag_id, dag_run_id)
    except errors.DagRunNotFound:
        version = None
    return _structure(session, dag_id, version)


def structure_for_scheduling(session: Session, dag_id: str, dag_run_id: str) -> SerializedDAG:
    """Return the shared structure that a run goes on with, the latest one in a bundle without versions.

    Raises `DagNotFound`.
    """
    version = _version_of_run(session, dag_id, dag_run_id)
    if version.id is None or not version.bundle_version:
        return structure.read_latest(dag_id, session)
    return _structure(session, dag_id, version)


def _version_of_run(session: Session, dag_id: str, dag_run_id: str) -> Version:
    row = session.execute(
        select(RUN.c.created_dag_version_id, RUN.c.bundle_version, _SERIALIZED.c.dag_version_id.is_not(None))
        .select_from(RUN.outerjoin(_SERIALIZED, _SERIALIZED.c.dag_version_id == RUN.c.created_dag_version_id))
        .where(RUN.c.dag_id == dag_id, RUN.c.run_id == dag_run_id)
    ).one_or_none()
    if row is None:
        raise errors.DagRunNotFound(dag_id, dag_run_id)
    return Version(*row)


def _structure(session: Session, dag_id: str, version: Version | None) -> SerializedDAG:
    if version is not None and version.stored and version.id is not None:
        found = structure.read_version(version.id, session)
        if found is not None:
            return found
    _require_structure(session, dag_id, version)
    return structure.read_latest(dag_id, session)


def _require_structure(session: Session, dag_id: str, version: Version | None) -> None:
    """Raise `DagNotFound` unless there is a latest version to fall back on: none for runs of versioned bundles."""
    if version is not None and version.id is not None and version.bundle_version:
        raise errors.DagNotFound(dag_id)
    structure.require(dag_id, session)


def _tasks_of_group(dag: SerializedDAG, task_group_id: str) -> Sequence[str]:
    group = dag.task_group.get_task_group_dict().get(task_group_id)
    if group is None:
        raise TaskGroupNotFound(dag.dag_id, task_group_id)
    return [task.task_id for task in group.iter_tasks()]
