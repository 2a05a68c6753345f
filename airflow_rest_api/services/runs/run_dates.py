"""Run dates: which run a date means, for those who know runs by their dates alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow._shared.timezones import timezone
from sqlalchemy import select

from airflow_rest_api.services.database import reading
from airflow_rest_api.services.runs.dag_run_rows import RUN

LONGEST_ROW = timedelta(hours=1)


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


def free_second(dag_id: str, instant: datetime) -> datetime:
    """Return the first whole second, from that of ``instant`` on, for which the DAG has no run.

    A DAG has one run per logical date. Where a whole `LONGEST_ROW` is taken, it is the second of ``instant``.
    """
    first = instant.replace(microsecond=0)
    taken = select(RUN.c.logical_date).where(
        RUN.c.dag_id == dag_id, RUN.c.logical_date.between(first, first + LONGEST_ROW)
    )
    with reading() as session:
        dates = set(session.scalars(taken))
    row = (first + timedelta(seconds=seconds) for seconds in range(int(LONGEST_ROW.total_seconds())))
    return next((second for second in row if second not in dates), first)
