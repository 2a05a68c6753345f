"""DAG start: the date before which a DAG has no runs."""

from __future__ import annotations

from datetime import datetime

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import reading


def get_start_date(dag_id: str) -> datetime | None:
    """Return the DAG's own start date, or the one of its default arguments; raises `DagNotFound`."""
    with reading() as session:
        return structure.instant(structure.read_latest(dag_id, session).start_date)
