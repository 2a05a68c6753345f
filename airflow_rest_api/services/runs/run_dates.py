"""Run dates: which run a date means, for those who know runs by their dates alone."""

from __future__ import annotations

from datetime import datetime

from airflow._shared.timezones import timezone
from sqlalchemy import select

from airflow_rest_api.services.database import reading
from airflow_rest_api.services.runs.dag_run_rows import RUN


def run_id_at(dag_id: str, instant: datetime) -> str | None:
    """Return the id of the DAG's run with this logical date.

    Where there is none, the newest of those runs that have no logical date and were to run after this instant.
    """
    try:
        moment = timezone.convert_to_utc(instant)
    except OverflowError:
        # At the edges of the calendar there is no such instant in UTC, and so there is no run.
        return None
    undated = RUN.c.logical_date.is_(None) & (RUN.c.run_after == moment)
    of_dag = select(RUN.c.run_id).where(RUN.c.dag_id == dag_id)
    with reading() as session:
        found: str | None = session.scalar(of_dag.where(RUN.c.logical_date == moment))
        if found is not None:
            return found
        newest = of_dag.where(undated).order_by(RUN.c.id.desc()).limit(1)
        return session.scalar(newest)


def free_moment(dag_id: str, now: datetime) -> datetime:
    """Return the whole second of ``now``, or ``now`` itself if the DAG has a run with that logical date."""
    second = now.replace(microsecond=0)
    taken = select(RUN.c.id).where(RUN.c.dag_id == dag_id, RUN.c.logical_date == second)
    with reading() as session:
        return second if session.scalar(taken) is None else now
