"""Backfills: runs of a DAG for dates in the past, made at once and started a few at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow._shared.timezones import timezone
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.backfills import (
    backfill_changes,
    backfill_creation,
    backfill_refusals,
    backfill_rows,
    backfill_schedule,
    backfill_selection,
)
from airflow_rest_api.services.backfills.backfill_rows import BACKFILL, Entry
from airflow_rest_api.services.backfills.backfill_schedule import Wish
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.explaining import holding
from airflow_rest_api.services.lists import listing, ordering
from airflow_rest_api.services.runs import selection

_SORTING = ordering.Sorting(columns={"id": BACKFILL.c.id}, primary_key=("id", BACKFILL.c.id))
_FILTERS: listing.Filters = {
    "dag_id": listing.equal(BACKFILL.c.dag_id),
    "active": lambda wanted: (
        BACKFILL.c.completed_at.is_(None) if wanted else BACKFILL.c.completed_at.is_not(None)
    ),
}


def list_backfills(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the backfills of a DAG, or without one those of all DAGs that the caller may read."""
    conditions = [*listing.conditions(_FILTERS, query), *_permitted(query, caller)]
    limit, offset = listing.page_limit(query["limit"]), query["offset"]
    keys = _SORTING.keys(query["order_by"])
    with reading() as session:
        statement = ordering.ordered(backfill_rows.STATEMENT.where(*conditions), keys)
        rows = session.execute(statement.limit(limit).offset(offset)).all()
        every = select(BACKFILL.c.id).where(*conditions)
        total = listing.page_total(session, every, found=len(rows), limit=limit, offset=offset)
        return {"backfills": backfill_rows.entries(session, rows), "total_entries": total}


def _permitted(query: Mapping[str, Any], caller: Caller) -> list[ColumnElement[bool]]:
    # A DAG that is named was asked about before; its backfills are deleted with it.
    return [] if query["dag_id"] else caller.permissions.dag_scope("GET").restrict(BACKFILL.c.dag_id)


def get_backfill(backfill_id: int, *, caller: Caller) -> Entry:
    """Return a backfill with what holds its queued runs back; raises `BackfillNotFound`."""
    _require(backfill_id, "GET", caller)
    with reading() as session:
        entry = backfill_selection.told(session, backfill_rows.one(session, backfill_id))
        return {**entry, "held_back_by": _held_back_by(session, entry)}


def create_backfill(*, body: Mapping[str, Any], caller: Caller, is_success: bool = False) -> Entry:
    """Make a backfill with its runs, the tasks of which are not run where ``is_success`` says that they succeeded.

    Raises `Denied` and what `backfill_creation.create` raises.
    """
    if is_success:
        caller.permissions.require_dag(body["dag_id"], "PUT", "TASK_INSTANCE")
    _require_tasks(body, caller)
    return backfill_creation.create(body, caller, is_success=is_success)


def create_backfill_dry_run(*, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Tell which runs a backfill would make or run again, and make none.

    Raises `Denied` and what `create_backfill` raises, but not that another backfill is running, or that there is
    no run to make.
    """
    _require_tasks(body, caller)
    wish = Wish.of(body)
    with reading() as session:
        dag = structure.read_latest(wish.dag_id, session)
        if not dag.timetable.periodic:
            raise backfill_refusals.DagNonPeriodicSchedule(wish.dag_id)
        if dag.allowed_run_types is not None and DagRunType.BACKFILL_JOB not in dag.allowed_run_types:
            raise backfill_refusals.BackfillRunsNotAllowed(wish.dag_id)
        infos = backfill_schedule.runs(dag, wish)
        selected = backfill_selection.of(session, dag, infos, wish, body)
        plan = backfill_schedule.planned(session, dag, infos, wish.behavior)
        return {
            **_listed(plan),
            "held_back_by": _codes(session, wish.dag_id),
            "running_backfill_id": backfill_rows.running(session, wish.dag_id),
            **({"selection": backfill_selection.preview(selected)} if selected else {}),
        }


def _listed(plan: list[backfill_schedule.PlannedRun]) -> Entry:
    runs = [
        {
            "logical_date": structure.instant(run.info.logical_date),
            "partition_key": run.info.partition_key,
            "partition_date": structure.instant(run.info.partition_date),
        }
        for run in plan
        if run.reason is None
    ]
    skipped = Counter(run.reason for run in plan if run.reason is not None)
    return {"backfills": runs, "total_entries": len(runs), "skipped_reasons": dict(sorted(skipped.items()))}


def pause_backfill(backfill_id: int, *, caller: Caller) -> Entry:
    """Start no further run; raises `BackfillNotFound`, `Denied` and `BackfillIsCompleted`."""
    _require(backfill_id, "PUT", caller)
    return backfill_changes.set_paused(backfill_id, is_paused=True)


def unpause_backfill(backfill_id: int, *, caller: Caller) -> Entry:
    """Go on starting runs; raises `BackfillNotFound`, `Denied` and `BackfillIsCompleted`."""
    _require(backfill_id, "PUT", caller)
    return backfill_changes.set_paused(backfill_id, is_paused=False)


def cancel_backfill(backfill_id: int, *, caller: Caller) -> Entry:
    """Let the queued runs fail and end the backfill; raises `BackfillNotFound`, `Denied` and `BackfillIsCompleted`."""
    _require(backfill_id, "PUT", caller)
    return backfill_changes.cancel(backfill_id)


def _require(backfill_id: int, method: str, caller: Caller) -> None:
    """Raise `BackfillNotFound`, also for a backfill of a DAG whose runs the caller may not read, or `Denied`.

    So does `_authorize_backfill_in_path` of Airflow: whoever may read the runs knows of the backfill anyway.
    """
    with reading() as session:
        dag_id = session.scalar(select(BACKFILL.c.dag_id).where(BACKFILL.c.id == backfill_id))
    permissions = caller.permissions
    if dag_id is None or not (
        permissions.may_dag(dag_id, method, "RUN") or permissions.may_dag(dag_id, "GET", "RUN")
    ):
        raise backfill_refusals.BackfillNotFound(backfill_id)
    permissions.require_dag(dag_id, method, "RUN")


def _require_tasks(body: Mapping[str, Any], caller: Caller) -> None:
    if selection.is_wanted(body):
        caller.permissions.require_dag(body["dag_id"], "PUT", "TASK_INSTANCE")


def _held_back_by(session: Session, entry: Entry) -> list[str]:
    """Return why queued runs of a backfill do not start; nothing holds back what is not there."""
    if entry["completed_at"] is not None or not entry["progress"]["queued"]:
        return []
    causes = holding.of_run(session, entry["dag_id"], timezone.utcnow(), backfill_id=entry["id"])
    return [cause.code for cause in causes]


def _codes(session: Session, dag_id: str) -> list[str]:
    # As of a run that goes on: how many may at once is a matter of the backfill, which is not there yet.
    causes = holding.of_run(session, dag_id, timezone.utcnow(), state=DagRunState.RUNNING)
    return [cause.code for cause in causes]
