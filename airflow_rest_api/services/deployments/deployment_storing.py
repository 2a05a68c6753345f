"""Storing deployments: from content that was found good to the files that Airflow reads, by way of a journal.

The order is what makes it safe to die at any point: claim the place, note what is going to happen (`checked`),
change the files in one step, and note that it happened (`stored`) in the transaction that asks Airflow to look.
Whoever meets a claim that ran out looks at the files, and notes what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import dag_source, errors, retries
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.deployments import bundles, deployed_dags, deployed_paths, parsing, publication
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Claim, Place
from airflow_rest_api.services.deployments.deployment_expectations import Expectation, equal
from airflow_rest_api.services.deployments.deployment_rows import Entry, Order, Origin
from airflow_rest_api.services.deployments.publication import Publisher
from airflow_rest_api.storage.tables import deployment as table
from airflow_rest_api.storage.tables import deployment_dag


def store(deployment_id: str, order: Order, origin: Origin, bundle: Bundle, expected: Expectation) -> Entry:
    """Put the content of an order at its place and answer the deployment; the caller's answer is noted with it.

    Raises `DeploymentInProgress`, `PlacesOverlap`, what ``expected`` raises, and what publishing raises: then
    nothing was changed.
    """
    with deployed_paths.claimed(order.place, deployment_id, resolve) as claim:
        publisher = publication.of(bundle, claim.verify)
        before = publisher.read(order.place.path)
        _begin(deployment_id, order, origin, before, expected)
        reference = None
        if not equal(before, order.content):
            reference = _publish(publisher, deployment_id, order, origin)
        try:
            return write(lambda session: retries.done(session, _stored(session, claim, reference)))
        except deployed_paths.ClaimLost:
            # It took so long that somebody else has looked at the files, and noted what this one has done.
            return again(deployment_id)


def again(deployment_id: str) -> Entry:
    """Answer a deployment that was stored by now, for who carries it out once more; raises `StillRunning`."""

    def work(session: Session) -> Entry:
        row = rows.read(session, deployment_id)
        if row.state == rows.CHECKED:
            raise retries.StillRunning
        is_current = deployed_paths.current(session, rows.place_of(row)) == row.id
        return retries.done(session, rows.entry(row, is_current=is_current))

    return write(work)


def _begin(
    deployment_id: str, order: Order, origin: Origin, before: Content | None, expected: Expectation
) -> None:
    def work(session: Session) -> None:
        expected.require(session, order, before)
        present, dags_before = deployed_dags.before(session, order.place, before)
        if not order.permitted.issuperset(present):
            # Somebody has put other DAGs there since the caller was asked for.
            raise deployed_paths.DeploymentInProgress(order.place)
        options = {
            "new_dags": deployed_dags.note_new(session, order.place, order.dags),
            "was_broken": deployed_dags.is_broken(session, order.place),
            "unchanged": equal(before, order.content),
            "sources": sources(order),
            "replaced": present,
            "dags_before": dags_before,
        }
        rows.begin(session, deployment_id, order, origin, before, **options)

    write(work)


def sources(order: Order) -> dict[str, str]:
    """Return the hashes of the sources that Airflow will serve, by their paths in the bundle."""
    files = order.content.sources(order.place.path) if order.content else {}
    paths = files.keys() & set(order.dags.values())
    return {path: deployed_dags.source_hash(dag_source.as_read(files[path])) for path in sorted(paths)}


def _publish(publisher: Publisher, deployment_id: str, order: Order, origin: Origin) -> str | None:
    path, content = order.place.path, order.content
    try:
        message = order.message or f"Deploy {path}"
        return publisher.publish(
            path, content, deployment_id=deployment_id, author=origin.caller_name, message=message
        )
    except Exception:
        # What is there counts, not what was said about it.
        if publisher.is_published(path, content, deployment_id):
            return None
        write(lambda session: _forget(session, deployment_id))
        raise


def _forget(session: Session, deployment_id: str) -> None:
    row = rows.read(session, deployment_id)
    deployed_dags.forget_new(session, row.options["new_dags"])
    session.execute(delete(deployment_dag).where(deployment_dag.c.deployment_id == deployment_id))
    session.execute(delete(table).where(table.c.id == deployment_id))


def _stored(session: Session, claim: Claim, reference: str | None) -> Entry:
    """Note that the files are changed, and ask Airflow to look at them."""
    row = rows.read(session, claim.holder)
    claim.release(session, current=row.id)
    _take_over(session, row)
    ask(session, claim.place, row.options)
    now = datetime.now(timezone.utc)
    versions = _served_already(session, row)
    states = (rows.STORED,) if versions is None else (rows.STORED, rows.PARSED, rows.LIVE)
    values = {"reference": reference, "stored_at": now, "asked_at": now, "dag_versions": versions or []}
    rows.advance(session, row, *states, **values)
    if versions is not None:
        deployed_dags.set_paused(session, row)
        if not row.options["unchanged"]:
            deployed_dags.retire_removed(session, claim.place, row.options["dags"], now)
    rows.forget_old_contents(session, row)
    return rows.entry(rows.read(session, row.id), is_current=True)


def ask(session: Session, place: Place, options: Mapping[str, Any]) -> None:
    """Let Airflow parse the files of a place as soon as it can, and write what it finds."""
    parsing.expect_write(session, place.bundle_name, place.path)
    paths = {*options["dags"].values(), *options["replaced"].values()} or {place.path}
    for path in sorted({parsing.file_of(path) for path in paths}):
        parsing.ask(session, place.bundle_name, path)


def _take_over(session: Session, row: Any) -> None:
    """End the deployments of the place whose content is there no more."""
    if row.rollback_of:
        undone = rows.read(session, row.rollback_of)
        rows.advance(session, undone, rows.ROLLED_BACK, rolled_back_by=row.id)
    waiting = select(*rows.NARROW).where(table.c.place == row.place, table.c.state.in_(rows.UNFINISHED))
    for older in session.execute(waiting.where(table.c.number < row.number)).all():
        options = {**older.options, rows.SUPERSEDED_BY: row.id}
        rows.advance(session, older, rows.SUPERSEDED, options=options)


def _served_already(session: Session, row: Any) -> list[Entry] | None:
    """Return the versions of the DAGs where Airflow serves this content by now, else None."""
    if not row.options["dags"]:
        return [] if row.sha256 is not None or not row.options["replaced"] else None
    if not row.options["unchanged"] or row.options["was_broken"]:
        return None
    return deployed_dags.served(session, row)


def resolve(place: Place, holder: str) -> None:
    """Bring to an end what a process that died has left of a deployment: what the files say, happened."""
    claim = Claim(place, holder)
    with reading() as session:
        row = rows.read(session, holder)
        content = rows.content_of(session, holder)
    if row is None or row.state != rows.CHECKED:
        deployed_paths.give_back(claim)
        return
    with suppress(deployed_paths.ClaimLost):
        if _is_published(row, content):
            write(lambda session: _stored(session, claim, None))
        else:
            write(lambda session: _lost(session, claim))


def resolve_if_lost(row: Any) -> None:
    """Resolve a deployment that was noted and not stored, unless somebody is at its place."""
    place = rows.place_of(row)
    with reading() as session:
        if deployed_paths.is_held(session, place):
            return
    with deployed_paths.claimed(place, row.id, resolve):
        resolve(place, row.id)


def publisher_of(row: Any, verify: Callable[[], None] = lambda: None) -> Publisher | None:
    """Return the publisher for a deployment, None where the bundle is gone or cannot be written to any more."""
    try:
        return publication.of(bundles.find(row.bundle_name), verify)
    except errors.Refusal:
        return None


def _is_published(row: Any, content: Content | None) -> bool:
    publisher = publisher_of(row)
    if publisher is None:
        return False
    publisher.tidy(row.path, row.id)
    return publisher.is_published(row.path, content, row.id)


def _lost(session: Session, claim: Claim) -> None:
    claim.release(session)
    row = rows.read(session, claim.holder)
    deployed_dags.forget_new(session, row.options["new_dags"])
    fault = rows.error(
        row.path, rows.LOST, "The service ended before the content was stored; nothing was changed."
    )
    rows.advance(session, row, rows.FAILED, errors=[fault])
