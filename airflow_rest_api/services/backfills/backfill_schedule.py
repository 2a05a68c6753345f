"""Backfill schedule: the runs that a DAG's timetable has between two dates, and which of them there are already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from airflow._shared.timezones import timezone
from airflow.models import backfill as model
from airflow.models.backfill import ReprocessBehavior
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import instants
from airflow_rest_api.services.backfills import backfill_refusals as refusals
from airflow_rest_api.services.runs.dag_run_rows import RUN

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.timetables.base import DagRunInfo

# Airflow knows no bound, and makes the runs one by one while the caller waits.
MOST_RUNS = 2_000
# As many dates in one statement as every database takes.
_CHUNK = 500


@dataclass(frozen=True)
class Wish:
    """What a caller wants to be run: the DAG, the dates in the zones that they were sent in, and how."""

    dag_id: str
    from_date: datetime
    to_date: datetime
    backwards: bool
    behavior: ReprocessBehavior
    conf: dict[str, Any] | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Wish:
        """Read a body that fits the contract."""
        first, last = (
            timezone.coerce_datetime(instants.parse(body[name])) for name in ("from_date", "to_date")
        )
        return cls(
            body["dag_id"],
            first,
            last,
            body.get("run_backwards", False),
            ReprocessBehavior(body.get("reprocess_behavior", "none")),
            body.get("dag_run_conf"),
        )


@dataclass(frozen=True)
class PlannedRun:
    """One run of the schedule: whether there is one already, and why it is left out, if it is."""

    info: DagRunInfo
    exists: bool
    reason: str | None


def runs(dag: SerializedDAG, wish: Wish) -> list[DagRunInfo]:
    """Return the runs that the schedule has, in the order in which they are to go.

    Raises `BackfillTooLarge`, `BackfillDatesOutOfRange`, and what is wrong with the dates, the direction, the
    behavior or the configuration.
    """
    with refusals.in_our_words(dag.dag_id):
        model._validate_backfill_params(
            dag, wish.backwards, wish.from_date, wish.to_date, wish.behavior, wish.conf
        )
    try:
        found = list(islice(_between(dag, wish.from_date, wish.to_date), MOST_RUNS + 1))
    except (ValueError, OverflowError) as fault:
        raise refusals.BackfillDatesOutOfRange(dag.dag_id) from fault
    if len(found) > MOST_RUNS:
        raise refusals.BackfillTooLarge(dag.dag_id, MOST_RUNS)
    return found[::-1] if wish.backwards else found


def planned(
    session: Session, dag: SerializedDAG, infos: Sequence[DagRunInfo], behavior: ReprocessBehavior
) -> list[PlannedRun]:
    """Tell of each run whether it exists, and whether the backfill leaves it out."""
    existing: dict[datetime, Any] = {}
    for start in range(0, len(infos), _CHUNK):
        existing |= _existing(session, dag, infos[start : start + _CHUNK])
    return [_planned(info, existing.get(_date(info)), behavior) for info in infos]


def _planned(info: DagRunInfo, run: Any, behavior: ReprocessBehavior) -> PlannedRun:
    reason = model._get_dag_run_no_create_reason(run, behavior) if run is not None else None
    return PlannedRun(info, run is not None, reason and model.BackfillDagRunExceptionReason(reason).value)


def _between(dag: SerializedDAG, first: datetime, last: datetime) -> Iterable[DagRunInfo]:
    """Yield the runs one by one: dates may lie thousands of years apart, and nobody asks for what is ahead."""
    infos: Iterator[DagRunInfo] = iter(dag.iter_dagrun_infos_between(first, last))
    if dag.timetable.partitioned:
        return infos
    now = timezone.utcnow()
    begun = takewhile(lambda info: info.logical_date is None or info.logical_date <= now, infos)
    return (info for info in begun if info.data_interval and info.data_interval.end < now)


def _existing(session: Session, dag: SerializedDAG, infos: Sequence[DagRunInfo]) -> dict[datetime, Any]:
    """Return the run of each date by it; of several runs of one partition, the one that started last."""
    column = RUN.c.partition_date if dag.timetable.partitioned else RUN.c.logical_date
    statement = select(column, RUN.c.state).where(
        RUN.c.dag_id == dag.dag_id, column.in_([_date(info) for info in infos])
    )
    found: dict[datetime, Any] = {}
    for row in session.execute(statement.order_by(RUN.c.start_date.is_(None), RUN.c.start_date.desc())):
        found.setdefault(row[0], row)
    return found


def _date(info: DagRunInfo) -> datetime:
    date = info.logical_date if info.partition_date is None else info.partition_date
    assert date is not None
    return date
