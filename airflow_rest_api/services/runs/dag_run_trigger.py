"""Triggering: making a run of a DAG at a caller's wish, of all its tasks or of some."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import write
from airflow_rest_api.services.runs import dag_run_preview, dag_run_rows, selection, selection_outcome
from airflow_rest_api.services.runs.dag_run_creation import (
    DagRunAlreadyExists,
    DataIntervalIncomplete,
    made,
    triggerable,
)
from airflow_rest_api.services.runs.dag_run_rows import Entry
from airflow_rest_api.services.runs.selection import Selection

RETURN_EXISTING = "return_existing"
_IN_ITS_ZONE = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "partition_date")


def trigger_dag_run(dag_id: str, *, body: Mapping[str, Any], caller: Caller, dry_run: bool = False) -> Entry:
    """Make a queued run of the DAG with its task instances; a dry run makes it, looks at it, and undoes it.

    Where the body selects tasks, all others are ended in the same transaction: the scheduler starts none of them.
    With the body's ``on_conflict`` `return_existing`, a run that stands in the way is answered in its place.

    Raises `Denied`, `DataIntervalIncomplete`, and what `triggerable`, `selection.of` and `made` raise.
    """
    if selection.is_wanted(body):
        caller.permissions.require_dag(dag_id, "PUT", "TASK_INSTANCE")
    if (body.get("data_interval_start") is None) != (body.get("data_interval_end") is None):
        raise DataIntervalIncomplete
    try:
        if dry_run:
            return dry_runs.undone(lambda session: _previewed(session, dag_id, body, caller))
        return write(lambda session: retries.done(session, _trigger(session, dag_id, body, caller)[0]))
    except DagRunAlreadyExists as refusal:
        if body.get("on_conflict") != RETURN_EXISTING:
            raise
        return _existing(refusal)


def _previewed(session: Session, dag_id: str, body: Mapping[str, Any], caller: Caller) -> Entry:
    entry, selected = _trigger(session, dag_id, body, caller)
    return {**entry, "preview": dag_run_preview.of(session, entry, selected)}


def _existing(refusal: DagRunAlreadyExists) -> Entry:
    """Return the existing run that the refusal names; raise the refusal if the run is gone by now."""
    return write(lambda session: retries.done(session, _named(session, refusal)))


def _named(session: Session, refusal: DagRunAlreadyExists) -> Entry:
    statement = select(DagRun.id).filter_by(dag_id=refusal.dag_id, run_id=refusal.dag_run_id)
    found = session.scalar(statement)
    if found is None:
        raise refusal
    return selection_outcome.told(session, dag_run_rows.by_ids(session, [found])[0])


def _trigger(
    session: Session, dag_id: str, body: Mapping[str, Any], caller: Caller
) -> tuple[Entry, Selection | None]:
    dag = triggerable(session, dag_id, caller)
    selected = selection.of(dag, body) if selection.is_wanted(body) else None
    run = made(session, dag, body, caller)
    entry = {**dag_run_rows.by_ids(session, [run.id])[0], **_times(run)}
    if selected is None:
        return entry, None
    selection.carry_out(session, [run], selected)
    return selection_outcome.told(session, entry), selected


def _times(run: DagRun) -> Entry:
    """Return the run's times in the zones that they came with, as Airflow's answer has them; they are kept in UTC."""
    times = {name: getattr(run, name) for name in _IN_ITS_ZONE}
    return {name: time and datetime.fromisoformat(time.isoformat()) for name, time in times.items()}
