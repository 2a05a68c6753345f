"""Undoing deployments: what stood at a path before comes back when Airflow cannot import what came in its place."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import update
from sqlalchemy.orm import Session

from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import deployed_dags, deployed_paths, deployment_storing
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Claim
from airflow_rest_api.services.deployments.publication import Publisher
from airflow_rest_api.storage.tables import deployment as table

_UNDOING = "undoing"


def begin(row: Any, kind: str, message: str) -> None:
    """Note why a deployment cannot stay, and take it back; with `keep_on_error` it has failed, and stays."""
    faults = [*row.errors, rows.error(row.path, kind, message)]
    if row.options["keep_on_error"]:
        write(lambda session: rows.advance(session, row, rows.FAILED, errors=faults))
        return

    def work(session: Session) -> Any:
        # Noted first: what undoes it may die in the middle, after which Airflow sees no error any more.
        unchanged = (table.c.id == row.id, table.c.state == row.state)
        values = {"errors": faults, "options": {**row.options, _UNDOING: True}}
        session.execute(update(table).where(*unchanged).values(**values))
        return rows.read(session, row.id)

    undo(write(work))


def is_begun(row: Any) -> bool:
    """Tell whether a deployment is being undone."""
    return bool(row.options.get(_UNDOING))


def undo(row: Any) -> None:
    """Put back what the deployment had found at its place; a place that is held is left for the next time."""
    holder = str(uuid5(UUID(row.id), _UNDOING))
    with (
        suppress(deployed_paths.DeploymentInProgress, deployed_paths.ClaimLost),
        deployed_paths.claimed(rows.place_of(row), holder, deployment_storing.resolve) as claim,
    ):
        _undo_claimed(row.id, claim)


def _undo_claimed(deployment_id: str, claim: Claim) -> None:
    with reading() as session:
        row = rows.read(session, deployment_id)
        is_current = deployed_paths.current(session, claim.place) == deployment_id
        content, before = rows.content_of(session, deployment_id), rows.before_of(session, row)
    if row.state not in rows.UNFINISHED or not is_current:
        return
    publisher = deployment_storing.publisher_of(row, claim.verify)
    if reason := _hindrance(row, publisher, content, before):
        fault = rows.error(row.path, "not_rolled_back", reason)
        write(lambda session: rows.advance(session, row, rows.FAILED, errors=[*row.errors, fault]))
        return
    assert publisher is not None
    publisher.publish(
        row.path,
        before,
        deployment_id=claim.holder,
        author=row.caller_name,
        message=f"Undo the deployment {row.id}",
    )
    write(lambda session: _undone(session, row, claim))


def _hindrance(
    row: Any, publisher: Publisher | None, content: Content | None, before: Content | None
) -> str | None:
    if publisher is None:
        return "The bundle cannot be written to any more, so the new content stays."
    if row.previous_sha256 is not None and before is None:
        return "The content from before is not kept any more, so the new content stays."
    is_ours = publisher.is_published(row.path, content, row.id)
    if not is_ours and not publisher.is_published(row.path, before, row.id):
        return "Somebody else has changed the file since, so it was left alone."
    return None


def _undone(session: Session, row: Any, claim: Claim) -> None:
    claim.release(session, current=_former(session, row))
    if rows.advance(session, row, rows.ROLLED_BACK):
        deployed_dags.forget_new(session, row.options["new_dags"])
        brought = set(row.options["dags"]) - set(row.options["replaced"])
        deployed_dags.retire(session, claim.place, brought)
        deployment_storing.ask(session, claim.place, row.options)


def _former(session: Session, row: Any) -> str | None:
    """Return the deployment whose content is back; None when it was somebody else's, or there was none."""
    former = rows.read(session, row.previous_id) if row.previous_id else None
    return former.id if former is not None and former.sha256 == row.previous_sha256 else None
