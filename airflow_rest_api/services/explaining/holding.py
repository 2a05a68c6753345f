"""Holding: what keeps Airflow's scheduler from going on with a run as a whole.

The conditions are those under which Airflow 3.3 picks runs (`DagRun.get_queued_dag_runs_to_set_running`,
`get_running_dag_runs_to_examine`), and whether anybody is there who would pick one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.state import DagRunState
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import jobs
from airflow_rest_api.services.jobs import Heartbeat

_DAG = DagModel.__table__.c
_RUN = DagRun.__table__.c
_BACKFILL = Backfill.__table__.c
LOGICAL_DATE_AHEAD = "logical_date_lies_ahead"


@dataclass(frozen=True)
class Cause:
    """One thing that holds something back: a stable ``code``, a sentence, and facts for programs.

    ``since`` and ``until`` are where they are known; of a job that is dead, ``since`` is its last heartbeat.
    """

    code: str
    detail: str
    since: datetime | None = None
    until: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Return the cause as answers have it."""
        return {
            "code": self.code,
            "detail": self.detail,
            "since": self.since,
            "until": self.until,
            "facts": dict(self.facts),
        }


def of_run(
    session: Session,
    dag_id: str,
    run_after: datetime,
    *,
    state: str = DagRunState.QUEUED,
    backfill_id: int | None = None,
    logical_date: datetime | None = None,
) -> list[Cause]:
    """Return all that holds back a run that is in ``state``, or would be; the most likely cause comes first."""
    heartbeats = jobs.youngest(session)
    causes = [*_scheduler(heartbeats), *_dag(session, dag_id), *_time(run_after), *_future(logical_date)]
    if state == DagRunState.QUEUED:
        causes += _active_runs(session, dag_id, backfill_id)
    return [*causes, *_dag_processor(heartbeats)]


def dead(heartbeats: Mapping[str, Heartbeat], kind: str) -> tuple[bool, datetime | None]:
    """Tell whether no job of a kind is alive, and when the youngest was heard of last."""
    heartbeat = heartbeats.get(kind)
    if heartbeat is None:
        return True, None
    return not jobs.is_alive(kind, heartbeat), heartbeat.at


def _scheduler(heartbeats: Mapping[str, Heartbeat]) -> Iterator[Cause]:
    is_dead, since = dead(heartbeats, jobs.SCHEDULER)
    if is_dead:
        yield Cause("no_scheduler_alive", "No scheduler is alive: nothing is started until one is.", since)


def _dag_processor(heartbeats: Mapping[str, Heartbeat]) -> Iterator[Cause]:
    # Last, because it stops no run that Airflow has made of a DAG that it knows.
    is_dead, since = dead(heartbeats, jobs.DAG_PROCESSOR)
    if is_dead:
        yield Cause(
            "no_dag_processor_alive",
            "No DAG processor is alive: a change of the DAG's file, or its return, is not noticed until one is.",
            since,
        )


def _dag(session: Session, dag_id: str) -> Iterator[Cause]:
    dag = session.execute(select(_DAG.is_paused, _DAG.is_stale).where(_DAG.dag_id == dag_id)).one_or_none()
    if dag is None or dag.is_stale:
        yield Cause(
            "dag_is_stale",
            f"The DAG '{dag_id}' is in no file any more; its runs go on when it is there again.",
        )
    if dag is not None and dag.is_paused:
        yield Cause("dag_is_paused", f"The DAG '{dag_id}' is paused; its runs go on when it is unpaused.")


def _time(run_after: datetime) -> Iterator[Cause]:
    if run_after > timezone.utcnow():
        yield Cause(
            "run_after_lies_ahead",
            f"The run may not go on before {run_after.isoformat()}.",
            until=run_after,
        )


def _future(logical_date: datetime | None) -> Iterator[Cause]:
    """Yield the logical date if it is in the future: the scheduler logs an error and leaves such a run alone."""
    if logical_date is not None and logical_date > timezone.utcnow():
        yield Cause(
            LOGICAL_DATE_AHEAD,
            f"The logical date {logical_date.isoformat()} is in the future. Airflow schedules no task before it.",
            until=logical_date,
        )


def _active_runs(session: Session, dag_id: str, backfill_id: int | None) -> Iterator[Cause]:
    """Yield what the number of running runs forbids: those of one backfill count apart from all others."""
    wanted = select(func.count()).where(_RUN.dag_id == dag_id, _RUN.state == DagRunState.RUNNING)
    if backfill_id is None:
        limit = session.scalar(select(_DAG.max_active_runs).where(_DAG.dag_id == dag_id))
        whose, wanted = f"the DAG '{dag_id}'", wanted.where(_RUN.backfill_id.is_(None))
    else:
        backfill = session.execute(
            select(_BACKFILL.max_active_runs, _BACKFILL.is_paused).where(_BACKFILL.id == backfill_id)
        ).one()
        limit = backfill.max_active_runs
        whose, wanted = f"the backfill {backfill_id}", wanted.where(_RUN.backfill_id == backfill_id)
        if backfill.is_paused:
            yield Cause("backfill_is_paused", f"The backfill {backfill_id} is paused; unpause it.")
    active = session.scalar(wanted) or 0
    if limit is not None and active >= limit:
        yield Cause(
            "max_active_runs_reached",
            f"As many runs of {whose} are running as may at once: {active} of {limit}.",
            facts={"active": active, "limit": limit},
        )
