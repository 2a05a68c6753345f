"""Jobs: which of Airflow's own processes are alive, by their heartbeats in the metadata database."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

from airflow.configuration import conf
from airflow.jobs.job import Job, JobState, health_check_threshold
from sqlalchemy import case, literal, select, union_all
from sqlalchemy.orm import Session

# More jobs than that nobody reads.
MOST_JOBS = 1000
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


class LiveJob(NamedTuple):
    """A job that is alive, in the words of Airflow's `/api/v2`."""

    id: int
    job_type: str
    state: str
    hostname: str | None
    unixname: str | None
    executor_class: str | None
    start_date: datetime | None
    latest_heartbeat: datetime


class HostJob(NamedTuple):
    """A job of one host, of whatever state."""

    start_date: datetime
    has_beaten: bool


def alive(session: Session, most: int = MOST_JOBS) -> list[LiveJob]:
    """Return the jobs of all hosts that are alive, the eldest first, at most so many."""
    columns = [getattr(Job, name) for name in LiveJob._fields]
    kinds = (SCHEDULER, TRIGGERER, DAG_PROCESSOR)
    running = select(*columns).where(Job.state == JobState.RUNNING, Job.job_type.in_(kinds))
    # Of jobs that died without a word the state stays; the youngest heartbeats are those of the living.
    rows = session.execute(running.order_by(Job.latest_heartbeat.desc(), Job.id).limit(most))
    found = (LiveJob(*row) for row in rows)
    living = (job for job in found if is_alive(job.job_type, Heartbeat(job.state, job.latest_heartbeat)))
    return sorted(living, key=lambda job: job.id)


def on_host(session: Session, kind: str, hostname: str, since: datetime) -> list[HostJob]:
    """Return the jobs of a kind that began on a host since then, and whether each is alive and has sent a heartbeat."""
    columns = (Job.start_date, Job.state, Job.latest_heartbeat)
    statement = select(*columns).where(
        Job.job_type == kind, Job.hostname == hostname, Job.start_date >= since
    )
    # A job is made with a heartbeat of the time before its beginning (`Job.prepare_for_execution`, Airflow 3.3).
    return [
        HostJob(start, is_alive(kind, Heartbeat(state, at)) and bool(at and at > start))
        for start, state, at in session.execute(statement)
        if start is not None
    ]


def count_alive(session: Session, kind: str) -> int:
    """Return how many jobs of a kind are alive."""
    rows = session.execute(
        select(Job.state, Job.latest_heartbeat).where(Job.job_type == kind, Job.state == JobState.RUNNING)
    )
    return sum(is_alive(kind, Heartbeat(state, at)) for state, at in rows)
