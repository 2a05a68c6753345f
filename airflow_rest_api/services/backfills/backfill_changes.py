"""Backfill changes: pausing, unpausing and cancelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.backfill import Backfill, BackfillDagRun
from airflow.models.dagrun import DagRun
from airflow.utils.state import DagRunState
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from airflow_rest_api.services.backfills import backfill_rows
from airflow_rest_api.services.backfills.backfill_refusals import BackfillIsCompleted, BackfillNotFound
from airflow_rest_api.services.backfills.backfill_rows import Entry
from airflow_rest_api.services.database import write


def set_paused(backfill_id: int, *, is_paused: bool) -> Entry:
    """Pause the backfill or let it go on; raises `BackfillNotFound` and `BackfillIsCompleted`."""

    def change(session: Session, backfill: Backfill) -> None:
        if is_paused:
            _wait_for_scheduler(session, backfill_id)
        if bool(backfill.is_paused) != is_paused:
            backfill.is_paused = is_paused

    return _changed(backfill_id, change)


def cancel(backfill_id: int) -> Entry:
    """End the backfill: its queued runs fail; raises `BackfillNotFound` and `BackfillIsCompleted`.

    Airflow does so in three transactions. In one nothing can be left half done, and no scheduler sees a queued run
    before the backfill is paused.
    """

    def change(session: Session, backfill: Backfill) -> None:
        backfill.is_paused = True
        queued = DagRun.id.in_(_members(backfill_id)), DagRun.state == DagRunState.QUEUED
        failing = update(DagRun).where(*queued).values(state=DagRunState.FAILED)
        session.execute(failing.execution_options(synchronize_session=False))
        backfill.completed_at = timezone.utcnow()

    return _changed(backfill_id, change)


def _changed(backfill_id: int, change: Callable[[Session, Backfill], None]) -> Entry:
    def work(session: Session) -> Entry:
        change(session, _locked(session, backfill_id))
        session.flush()
        return backfill_rows.one(session, backfill_id)

    return write(work)


def _locked(session: Session, backfill_id: int) -> Backfill:
    """Return the backfill with its row locked: no scheduler starts runs of one that is locked."""
    backfill: Backfill | None = session.scalar(
        select(Backfill).where(Backfill.id == backfill_id).with_for_update()
    )
    if backfill is None:
        raise BackfillNotFound(backfill_id)
    if backfill.completed_at is not None:
        raise BackfillIsCompleted(backfill_id)
    return backfill


def _wait_for_scheduler(session: Session, backfill_id: int) -> None:
    """Lock the queued runs: a scheduler that has chosen some of them, and not looked since, is waited for."""
    queued = select(DagRun.id).where(DagRun.id.in_(_members(backfill_id)), DagRun.state == DagRunState.QUEUED)
    session.execute(queued.with_for_update()).all()


def _members(backfill_id: int) -> Select[Any]:
    return select(BackfillDagRun.dag_run_id).where(BackfillDagRun.backfill_id == backfill_id)
