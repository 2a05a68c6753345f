"""Triggering: making a run of a DAG at a caller's wish."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow._shared.timezones import timezone
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.timetables.base import DataInterval
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airflow_rest_api.services import dag_run_rows, dry_runs, errors, holding, instants, retries, structure
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dag_run_rows import Entry
from airflow_rest_api.services.database import write

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

RETURN_EXISTING = "return_existing"
_IN_ITS_ZONE = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "partition_date")


class DagHasImportErrors(errors.Malformed):
    """The DAG's file could not be imported last time, so nobody knows what a run of it would be."""

    title = "The DAG has import errors"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has import errors; it can be triggered when its file can be imported again.",
            dag_id=dag_id,
        )


class ManualRunsNotAllowed(errors.Malformed):
    """The DAG's author allows no manual runs."""

    title = "Manual runs are not allowed"

    def __init__(self, dag_id: str) -> None:
        super().__init__(f"The DAG '{dag_id}' allows no manual runs.", dag_id=dag_id)


class DataIntervalIncomplete(errors.Malformed):
    """Only one end of a data interval was given."""

    title = "The data interval is incomplete"

    def __init__(self) -> None:
        super().__init__("A data interval has a start and an end: send both, or none of them.")


class DagRunRejected(errors.Malformed):
    """Airflow does not make such a run: its id, params, partition or dates are wrong for this DAG."""

    title = "The DAG run was rejected"


class DagRunAlreadyExists(errors.AlreadyExists):
    """The DAG has a run with this id or with this logical date."""

    title = "The DAG run already exists"

    def __init__(self, dag_id: str, dag_run_id: str, logical_date: datetime | None) -> None:
        date = f" or one with the logical date '{logical_date.isoformat()}'" if logical_date else ""
        super().__init__(
            f"The DAG '{dag_id}' already has a run '{dag_run_id}'{date}.",
            dag_id=dag_id,
            dag_run_id=dag_run_id,
        )
        self.dag_id, self.dag_run_id, self.logical_date = dag_id, dag_run_id, logical_date


def trigger_dag_run(dag_id: str, *, body: Mapping[str, Any], caller: Caller, dry_run: bool = False) -> Entry:
    """Make a queued run of the DAG with its task instances; a dry run makes it, looks at it, and undoes it.

    With the body's ``on_conflict`` `return_existing`, a run that stands in the way is answered in its place.

    Raises `DagNotFound`, `DagHasImportErrors`, `ManualRunsNotAllowed`, `DataIntervalIncomplete`,
    `DagRunRejected` and `DagRunAlreadyExists`.
    """
    if (body.get("data_interval_start") is None) != (body.get("data_interval_end") is None):
        raise DataIntervalIncomplete
    try:
        if dry_run:
            return dry_runs.undone(lambda session: _previewed(session, dag_id, body, caller))
        return write(lambda session: retries.done(session, _trigger(session, dag_id, body, caller)))
    except DagRunAlreadyExists as refusal:
        if body.get("on_conflict") != RETURN_EXISTING:
            raise
        return _existing(refusal)


def _previewed(session: Session, dag_id: str, body: Mapping[str, Any], caller: Caller) -> Entry:
    entry = _trigger(session, dag_id, body, caller)
    made = select(func.count()).select_from(TaskInstance)
    mine = made.where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == entry["dag_run_id"])
    held_back_by = [cause.code for cause in holding.of_run(session, dag_id, entry["run_after"])]
    return {
        **entry,
        "preview": {"task_instances": session.scalar(mine) or 0, "held_back_by": held_back_by},
    }


def _existing(refusal: DagRunAlreadyExists) -> Entry:
    """Return the run that stands in the way: the one with the id, or else the one with the logical date.

    Raises the refusal when it is gone by now.
    """
    return write(lambda session: retries.done(session, _in_the_way(session, refusal)))


def _in_the_way(session: Session, refusal: DagRunAlreadyExists) -> Entry:
    for same in ({"run_id": refusal.dag_run_id}, {"logical_date": refusal.logical_date}):
        statement = select(DagRun.id).filter_by(dag_id=refusal.dag_id, **same)
        found = session.scalar(statement) if None not in same.values() else None
        if found is not None:
            return dag_run_rows.by_ids(session, [found])[0]
    raise refusal


def _trigger(session: Session, dag_id: str, body: Mapping[str, Any], caller: Caller) -> Entry:
    _require_triggerable(session, dag_id)
    # The shared copy will do: making a run reads the DAG and sets nothing on it.
    dag = structure.read_latest(dag_id, session)
    try:
        run = _create(session, dag, body, caller)
    except (ValueError, OverflowError) as fault:
        # Params that do not validate are a ValueError, too; dates at the edges of the calendar overflow.
        raise DagRunRejected(str(fault), dag_id=dag_id) from fault
    if body.get("note"):
        run.note = (body["note"], caller.id)
        session.flush()
    return {**dag_run_rows.by_ids(session, [run.id])[0], **_times(run)}


def _times(run: DagRun) -> Entry:
    """Return the run's times in the zones that they came with, as Airflow's answer has them; they are kept in UTC."""
    times = {name: getattr(run, name) for name in _IN_ITS_ZONE}
    return {name: time and datetime.fromisoformat(time.isoformat()) for name, time in times.items()}


def _require_triggerable(session: Session, dag_id: str) -> None:
    found = session.execute(
        select(DagModel.has_import_errors, DagModel.allowed_run_types).where(
            DagModel.dag_id == dag_id, ~DagModel.is_stale
        )
    ).one_or_none()
    if found is None:
        raise errors.DagNotFound(dag_id)
    if found.has_import_errors:
        raise DagHasImportErrors(dag_id)
    if found.allowed_run_types is not None and DagRunType.MANUAL not in found.allowed_run_types:
        raise ManualRunsNotAllowed(dag_id)


def _create(session: Session, dag: SerializedDAG, body: Mapping[str, Any], caller: Caller) -> DagRun:
    partition_key = body.get("partition_key")
    dag.validate_partition_key(partition_key)
    run_after = instants.parse_optional(body.get("run_after")) or timezone.utcnow()
    logical_date = timezone.coerce_datetime(instants.parse_optional(body["logical_date"]))
    interval = _data_interval(dag, logical_date, body)
    run_id = body.get("dag_run_id") or _planned_run_id()
    run_id = run_id or dag.timetable.generate_run_id(
        run_type=DagRunType.MANUAL, run_after=timezone.coerce_datetime(run_after), data_interval=interval
    )
    try:
        return dag.create_dagrun(
            run_id=run_id,
            logical_date=logical_date,
            data_interval=interval,
            run_after=run_after,
            conf=body.get("conf", {}),
            run_type=DagRunType.MANUAL,
            # Airflow writes UI where a referer is sent, which only its own pages should.
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=caller.name,
            state=DagRunState.QUEUED,
            partition_key=partition_key,
            partition_date=dag.timetable.resolve_partition_date(partition_key),
            session=session,
        )
    except IntegrityError as fault:
        raise DagRunAlreadyExists(dag.dag_id, run_id, logical_date) from fault


def _planned_run_id() -> str | None:
    """Return the id that follows from the call's key: Airflow itself then refuses a second run of it."""
    planned = retries.planned_id()
    return f"{DagRunType.MANUAL.value}__{planned}" if planned else None


def _data_interval(dag: SerializedDAG, logical_date: Any, body: Mapping[str, Any]) -> DataInterval | None:
    """Return the interval sent, or else what the timetable takes for it; none without a logical date."""
    if logical_date is None:
        return None
    start, end = (
        timezone.coerce_datetime(instants.parse_optional(body.get(name)))
        for name in ("data_interval_start", "data_interval_end")
    )
    if start is None or end is None:
        return dag.timetable.infer_manual_data_interval(run_after=logical_date)
    return DataInterval(start=start, end=end)
