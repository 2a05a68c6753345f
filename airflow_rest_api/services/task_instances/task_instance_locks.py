"""Locks: the rows that a change of task instances holds until it is committed.

First the runs, in one order everywhere, so that two requests do not wait for each other: the scheduler leaves a run
alone that somebody holds. Then the task instances, because the process that runs a task reports without the run.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_rows import RUN

RunNames = tuple[str, str]


def runs(session: Session, *conditions: ColumnElement[bool]) -> list[RunNames]:
    """Lock the runs that fit the conditions and return their names."""
    statement = select(RUN.c.dag_id, RUN.c.run_id).where(*conditions).order_by(RUN.c.id)
    return [(dag_id, run_id) for dag_id, run_id in session.execute(statement.with_for_update())]


def named_runs(session: Session, names: Iterable[RunNames]) -> list[RunNames]:
    """Lock the runs with these names and return those that exist."""
    found: list[RunNames] = []
    for chunk in task_instance_rows.chunks(sorted(set(names))):
        found += runs(session, tuple_(RUN.c.dag_id, RUN.c.run_id).in_(chunk))
    return found


def instances(session: Session, *conditions: ColumnElement[bool]) -> list[TaskInstance]:
    """Lock the task instances that fit the conditions and return them as they are now."""
    statement = (
        select(TaskInstance)
        .where(*conditions)
        .order_by(TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
        # It is joined to its run, which is locked already.
        .with_for_update(of=TaskInstance)
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(statement))


def instances_again(session: Session, found: list[TaskInstance]) -> list[TaskInstance]:
    """Lock task instances that were read without a lock; those that got another id since are left out."""
    chunks = task_instance_rows.chunks([instance.id for instance in found])
    return [instance for chunk in chunks for instance in instances(session, TaskInstance.id.in_(chunk))]
