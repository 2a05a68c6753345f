"""Creation of runs: what Airflow needs to know to make a manual run of a DAG, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow._shared.timezones import timezone
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.timetables.base import DataInterval
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, instants, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import missing_dag, structure
from airflow_rest_api.services.dags.missing_dag import Reason
from airflow_rest_api.services.database import ChangedMeanwhile
from airflow_rest_api.services.runs.dag_run_rows import RUN

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG


_DAG = DagModel.__table__.c
DAG_RUN_ID, LOGICAL_DATE = "dag_run_id", "logical_date"


class SameRun(NamedTuple):
    """An existing run that a new run would repeat, and the ``field`` that both share."""

    field: str
    dag_run_id: str


class DagHasImportErrors(errors.Malformed):
    """The DAG's file could not be imported last time, so Airflow does not know its current structure."""

    title = "The DAG has import errors"

    def __init__(self, dag_id: str, reason: Reason | None) -> None:
        super().__init__(
            f"The DAG '{dag_id}' cannot be triggered: {reason.sentence if reason else 'its file has an import error.'}",
            dag_id=dag_id,
            **(reason.members if reason else {}),
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
    """The DAG has a run with this id, one with this logical date, or both."""

    title = "The DAG run already exists"

    def __init__(self, dag_id: str, conflicts: Sequence[SameRun], logical_date: datetime | None) -> None:
        """Name the existing run of each conflict; the run with the same id comes first."""
        date = logical_date.isoformat() if logical_date else None
        held = {
            DAG_RUN_ID: "already has a run '{}'",
            LOGICAL_DATE: "already has a run with the logical date '" + str(date) + "': '{}'",
        }
        sentence = " and ".join(held[one.field].format(one.dag_run_id) for one in conflicts)
        super().__init__(
            f"The DAG '{dag_id}' {sentence}.",
            dag_id=dag_id,
            dag_run_id=conflicts[0].dag_run_id,
            conflicts=[one._asdict() for one in conflicts],
        )
        self.dag_id, self.dag_run_id = dag_id, conflicts[0].dag_run_id
        self.is_of_id = conflicts[0].field == DAG_RUN_ID


def triggerable(session: Session, dag_id: str, caller: Caller) -> SerializedDAG:
    """Return the latest version of a DAG that a run can be made of by hand; the copy is shared, not to be changed.

    Raises `DagNotFound`, `DagHasImportErrors` and `ManualRunsNotAllowed`.
    """
    _require_triggerable(session, dag_id, caller)
    # The shared copy will do: making a run reads the DAG and sets nothing on it.
    return structure.read_latest(dag_id, session)


def made(session: Session, dag: SerializedDAG, body: Mapping[str, Any], caller: Caller) -> DagRun:
    """Make a queued run of the DAG with its task instances, and with a note where one is given; commit nothing.

    Raises `DataIntervalIncomplete`, `DagRunRejected` and `DagRunAlreadyExists`, which ends the transaction.
    """
    try:
        run = _create(session, dag, body, caller)
    except (ValueError, OverflowError) as fault:
        # Params that do not validate are a ValueError, too; dates at the edges of the calendar overflow.
        raise DagRunRejected(str(fault), dag_id=dag.dag_id) from fault
    if body.get("note"):
        run.note = (body["note"], caller.id)
        session.flush()
    return run


def _require_triggerable(session: Session, dag_id: str, caller: Caller) -> None:
    columns = (_DAG.has_import_errors, _DAG.allowed_run_types, _DAG.bundle_name, _DAG.relative_fileloc)
    statement = select(*columns).where(_DAG.dag_id == dag_id, ~_DAG.is_stale)
    found = session.execute(statement).one_or_none()
    if found is None:
        raise errors.DagNotFound(dag_id)
    if found.has_import_errors:
        raise DagHasImportErrors(dag_id, missing_dag.broken(session, found, caller))
    if found.allowed_run_types is not None and DagRunType.MANUAL not in found.allowed_run_types:
        raise ManualRunsNotAllowed(dag_id)


def _create(session: Session, dag: SerializedDAG, body: Mapping[str, Any], caller: Caller) -> DagRun:
    partition_key = body.get("partition_key")
    dag.validate_partition_key(partition_key)
    run_after = instants.parse_optional(body.get("run_after")) or timezone.utcnow()
    logical_date = timezone.coerce_datetime(instants.parse_optional(body.get("logical_date")))
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
        raise _conflict(session, dag.dag_id, run_id, logical_date) from fault


def _conflict(
    session: Session, dag_id: str, dag_run_id: str, logical_date: datetime | None
) -> errors.Conflict:
    """Return the error that names the existing runs; `ChangedMeanwhile` if they are gone by now."""
    # The failed insert has ended the transaction.
    session.rollback()
    of_dag = select(RUN.c.run_id).where(RUN.c.dag_id == dag_id)
    same = {DAG_RUN_ID: of_dag.where(RUN.c.run_id == dag_run_id)}
    if logical_date is not None:
        same[LOGICAL_DATE] = of_dag.where(RUN.c.logical_date == logical_date)
    found = [(field, session.scalar(statement)) for field, statement in same.items()]
    conflicts = [SameRun(field, existing) for field, existing in found if existing is not None]
    return DagRunAlreadyExists(dag_id, conflicts, logical_date) if conflicts else ChangedMeanwhile()


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
