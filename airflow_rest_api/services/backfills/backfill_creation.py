"""Backfill creation: the backfill with all of its runs, in one transaction.

Airflow's `_create_backfill` commits the backfill before its runs, so that a crash leaves one without runs that
stands in the way of the next. Here Airflow's own parts make the same rows in the transaction of the caller: nobody
sees a part of them. A test compares the rows that either leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models import backfill as model
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.types import DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.backfills import backfill_refusals as refusals
from airflow_rest_api.services.backfills import backfill_rows, backfill_schedule, backfill_selection
from airflow_rest_api.services.backfills.backfill_rows import Entry
from airflow_rest_api.services.backfills.backfill_schedule import Wish
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import write
from airflow_rest_api.services.runs import dag_run_clearing, selection
from airflow_rest_api.services.runs.selection import Selection

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.timetables.base import DagRunInfo


def create(body: Mapping[str, Any], caller: Caller, *, is_success: bool = False) -> Entry:
    """Make a backfill with its runs, of all tasks or of the selected ones; with ``is_success`` none of them is run.

    Raises `DagNotFound`, all of `backfill_refusals` that speak of making one, and what `selection.of` raises.
    """
    wish = Wish.of(body)
    return write(
        lambda session: retries.done(session, _created(session, wish, body, caller, is_success=is_success))
    )


def _created(
    session: Session, wish: Wish, body: Mapping[str, Any], caller: Caller, *, is_success: bool
) -> Entry:
    dag = _lock_backfillable(session, wish.dag_id)
    infos = backfill_schedule.runs(dag, wish)
    if not infos:
        raise refusals.NoBackfillRunsToCreate(wish.dag_id)
    selected = backfill_selection.of(session, dag, infos, wish, body)
    on_latest = dag_run_clearing.on_latest_version(
        session, wish.dag_id, body.get("run_on_latest_version"), otherwise=True
    )
    backfill = _backfill(wish, body, caller)
    session.add(backfill)
    session.flush()
    _make_runs(session, backfill, dag, infos, on_latest=on_latest)
    if selected is not None or is_success:
        made = session.scalars(select(DagRun).where(DagRun.backfill_id == backfill.id)).unique().all()
        _settle(session, dag, made, selected, is_success=is_success)
    entry = backfill_selection.told(session, backfill_rows.one(session, backfill.id))
    return {**entry, **_dates(wish)}


def _settle(
    session: Session,
    dag: SerializedDAG,
    runs: Sequence[DagRun],
    selected: Selection | None,
    *,
    is_success: bool,
) -> None:
    """Decide what becomes of the tasks of new runs that are not to be executed."""
    if selected is not None:
        selection.carry_out(session, runs, selected)
    if is_success:
        task_ids = frozenset(dag.task_ids) if selected is None else selected.task_ids
        selection.mark_success(session, runs, task_ids)


def _lock_backfillable(session: Session, dag_id: str) -> SerializedDAG:
    """Return a copy of one's own of the DAG, with its row locked, so that one backfill of it is made at a time."""
    model_of_dag = select(DagModel.dag_id, DagModel.allowed_run_types).where(DagModel.dag_id == dag_id)
    found = session.execute(model_of_dag.with_for_update()).one_or_none()
    if found is None:
        raise errors.DagNotFound(dag_id)
    dag = structure.latest(dag_id, session)
    if found.allowed_run_types is not None and DagRunType.BACKFILL_JOB not in found.allowed_run_types:
        raise refusals.BackfillRunsNotAllowed(dag_id)
    if not dag.timetable.periodic:
        raise refusals.DagNonPeriodicSchedule(dag_id)
    running = backfill_rows.running(session, dag_id)
    if running is not None:
        raise refusals.AlreadyRunningBackfill(dag_id, running)
    return dag


def _backfill(wish: Wish, body: Mapping[str, Any], caller: Caller) -> Backfill:
    return Backfill(
        dag_id=wish.dag_id,
        from_date=wish.from_date,
        to_date=wish.to_date,
        max_active_runs=body.get("max_active_runs", 10),
        dag_run_conf=wish.conf,
        reprocess_behavior=wish.behavior.value,
        triggering_user_name=caller.name,
    )


def _make_runs(
    session: Session, backfill: Backfill, dag: SerializedDAG, infos: list[DagRunInfo], *, on_latest: bool
) -> None:
    if infos[0].partition_key:
        model._create_runs_partitioned(backfill=backfill, dag=dag, dagrun_info_list=infos, session=session)
    else:
        model._create_runs_non_partitioned(
            backfill=backfill,
            dag=dag,
            dagrun_info_list=infos,
            run_on_latest_version=on_latest,
            session=session,
        )
    session.flush()


def _dates(wish: Wish) -> dict[str, datetime]:
    """Return the dates in the zones that they came with, as Airflow's answer has them; they are kept in UTC."""
    dates = {"from_date": wish.from_date, "to_date": wish.to_date}
    return {name: datetime.fromisoformat(date.isoformat()) for name, date in dates.items()}
