"""Grants of powers in Flask-AppBuilder's tables.

The first start makes a resource for each power and grants it to the role Admin, once. An administrator who takes
it from Admin means it; yet Airflow gives Admin every permission there is, over and over: at each start of the API
server (`[fab] update_fab_perms`), and in each `airflow users`, `roles` and `sync-perm`. So our grant is marked: its
row has an id below zero, which no sequence gives out. Of Admin's grants only a marked one counts; of every other
role's, each one does. Whoever wants Admin to have a power back deletes its resource: the next start makes it anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, inspect, or_, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading, write

log = logging.getLogger(__name__)

ADMIN = "Admin"
ACTION = "can_edit"
# How often other processes may be in the middle of making the same rows.
_ATTEMPTS = 10


def create_missing(resources: Iterable[str]) -> None:
    """Make what is missing of each resource and of its permission; several processes may do so at once.

    Where Flask-AppBuilder's tables are missing, a warning is all that happens: nobody holds a power then.
    """
    if not _has_tables():
        log.warning("Flask-AppBuilder's tables are missing, so nobody can be granted a power of the REST API")
        return
    for number, resource in enumerate(resources, start=1):
        _create(resource, mark=-number)


def is_held(role_ids: Iterable[int], resource: str) -> bool:
    """Tell whether one of these roles holds the power of this resource by an administrator's will."""
    from airflow.providers.fab.auth_manager import models

    grant = models.assoc_permission_role.c
    statement = (
        select(grant.id)
        .join(models.Permission, models.Permission.id == grant.permission_view_id)
        .join(models.Action, models.Action.id == models.Permission.action_id)
        .join(models.Resource, models.Resource.id == models.Permission.resource_id)
        .join(models.Role, models.Role.id == grant.role_id)
        .where(models.Action.name == ACTION, models.Resource.name == resource)
        .where(models.Role.id.in_(list(role_ids)), or_(models.Role.name != ADMIN, grant.id < 0))
    )
    with reading() as session:
        return session.scalar(statement.limit(1)) is not None


def _has_tables() -> bool:
    from airflow.providers.fab.auth_manager import models

    table = models.assoc_permission_role
    with reading() as session:
        return inspect(session.connection()).has_table(table.name, schema=table.schema)


def _create(resource: str, *, mark: int) -> None:
    for _ in range(_ATTEMPTS):
        try:
            write(lambda session: _create_rows(session, resource, mark))
        except errors.AlreadyExists:
            # Another process came first with one of the rows; the others may still be missing.
            continue
        return
    log.warning("The permission for '%s' could not be made: other processes keep making it", resource)


def _create_rows(session: Session, resource_name: str, mark: int) -> None:
    from airflow.providers.fab.auth_manager import models

    first = session.scalar(select(models.Resource.id).filter_by(name=resource_name)) is None
    resource = _row(session, models.Resource, name=resource_name)
    action = _row(session, models.Action, name=ACTION)
    permission = _row(session, models.Permission, action_id=action.id, resource_id=resource.id)
    if first:
        role = _row(session, models.Role, name=ADMIN)
        grant = models.assoc_permission_role
        # SQLite leaves it behind when the permission of a deleted resource goes.
        session.execute(delete(grant).where(grant.c.id == mark))
        values = {"id": mark, "permission_view_id": permission.id, "role_id": role.id}
        session.execute(insert(grant).values(**values))


def _row(session: Session, model: Any, **values: Any) -> Any:
    """Return the row with these values, made where it is missing."""
    found = session.scalars(select(model).filter_by(**values)).unique().one_or_none()
    if found is None:
        found = model(**values)
        session.add(found)
        session.flush()
    return found
