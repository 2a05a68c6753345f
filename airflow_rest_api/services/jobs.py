"""Jobs: which of Airflow's own processes are alive, by their heartbeats in the metadata database."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

from airflow.configuration import conf
from airflow.jobs.job import Job, JobState, health_check_threshold
from sqlalchemy import case, literal, select, union_all
from sqlalchemy.orm import Session

SCHEDULER, TRIGGERER, DAG_PROCESSOR = "SchedulerJob", "TriggererJob", "DagProcessorJob"


class Heartbeat(NamedTuple):
    """What the youngest job of a kind has left behind: its state, and when it was heard of last."""

    state: str | None
    at: datetime | None


def youngest(session: Session) -> dict[str, Heartbeat]:
    """Return the youngest job of each kind of which there is one; those that run come first."""
    return {kind: Heartbeat(state, at) for kind, state, at in session.execute(_YOUNGEST)}


def is_alive(kind: str, heartbeat: Heartbeat) -> bool:
    """Tell whether a job has been heard of lately enough, by the threshold that Airflow has for its kind."""
    if heartbeat.state != JobState.RUNNING or heartbeat.at is None:
        return False
    threshold = health_check_threshold(kind, conf.getint("scheduler", "job_heartbeat_sec"))
    return (datetime.now(timezone.utc) - heartbeat.at).total_seconds() < threshold


def _youngest(kind: str) -> Any:
    running_first = case((Job.state == JobState.RUNNING, 0), else_=1)
    return (
        select(literal(kind).label("kind"), Job.state, Job.latest_heartbeat)
        .where(Job.job_type == kind)
        .order_by(running_first, Job.latest_heartbeat.desc())
        .limit(1)
    )


# Made once: it costs more to put together than to run.
_YOUNGEST = union_all(*(select(_youngest(kind).subquery()) for kind in (SCHEDULER, TRIGGERER, DAG_PROCESSOR)))


def count_alive(session: Session, kind: str) -> int:
    """Return how many jobs of a kind are alive."""
    rows = session.execute(
        select(Job.state, Job.latest_heartbeat).where(Job.job_type == kind, Job.state == JobState.RUNNING)
    )
    return sum(is_alive(kind, Heartbeat(state, at)) for state, at in rows)
