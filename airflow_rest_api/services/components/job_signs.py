"""Job signs: whether a process has become a job of Airflow's that is alive.

Airflow keeps a job for each scheduler, triggerer and DAG processor, with the name of its host but not the number of its
process. So jobs are given to the processes of this host by the times at which both began: each process gets the first
job after its beginning that no earlier process has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from airflow.utils.net import get_hostname

from airflow_rest_api.services import jobs
from airflow_rest_api.services.components.places import registry
from airflow_rest_api.services.database import reading
from airflow_rest_api.supervision.registry import Supervised


def of(kind: str) -> Callable[[Supervised, object], bool]:
    """Return what tells whether a process has a job of this kind that has sent a heartbeat."""

    def is_ready(supervised: Supervised, _wishes: object) -> bool:
        beginnings = [
            one.started_at
            for one in registry().all()
            if one.component == supervised.component and one.pid is not None and one.started_at is not None
        ]
        if supervised.started_at is None or supervised.started_at not in beginnings:
            return False
        with reading() as session:
            found = jobs.on_host(session, kind, get_hostname(), min(beginnings))
        job = given(beginnings, found).get(supervised.started_at)
        return job is not None and job.has_beaten

    return is_ready


def given(beginnings: list[datetime], found: list[jobs.HostJob]) -> dict[datetime, jobs.HostJob]:
    """Give each process, by its beginning, the first job after that which no earlier process has."""
    free = sorted(found, key=lambda job: job.start_date)
    pairs: dict[datetime, jobs.HostJob] = {}
    for began in sorted(beginnings):
        job = next((job for job in free if job.start_date >= began), None)
        if job is not None:
            pairs[began] = job
            free.remove(job)
    return pairs
