"""Health: the youngest job of each kind, and the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import exc

from airflow_rest_api.services import database, monitor


@pytest.fixture
def jobs(restored_database):
    """`jobs(("SchedulerJob", "running", seconds since its heartbeat), …)`: these jobs alone."""
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def put(*given):
        now = datetime.now(timezone.utc)
        with create_session(scoped=False) as session:
            session.execute(delete(Job))
            for kind, state, age in given:
                session.add(job := Job())
                job.job_type, job.state = kind, state
                job.latest_heartbeat = None if age is None else now - timedelta(seconds=age)
        return monitor.get_health()

    return put


class TestHealth:
    @pytest.mark.parametrize(
        ("given", "status"),
        [
            ([("SchedulerJob", "running", 0)], "healthy"),
            ([("SchedulerJob", "running", 10_000)], "unhealthy"),
            ([("SchedulerJob", "success", 0)], "unhealthy"),
            ([("SchedulerJob", "failed", 0), ("SchedulerJob", "running", 1)], "healthy"),
            ([("SchedulerJob", "running", 10_000), ("SchedulerJob", "running", 1)], "healthy"),
            ([("TriggererJob", "running", 0)], "unhealthy"),
            ([], "unhealthy"),
        ],
    )
    def test_the_youngest_running_job_speaks_for_its_kind(self, jobs, v2, given, status):
        found = jobs(*given)
        assert found["scheduler"]["status"] == status
        assert v2.get("/monitor/health").json()["scheduler"]["status"] == status

    def test_whoever_never_ran_has_no_status(self, jobs, v2):
        found = jobs(("SchedulerJob", "running", 0))
        assert found["triggerer"] == {"status": None, "latest_triggerer_heartbeat": None}
        assert found == v2.get("/monitor/health").json()

    def test_a_triggerer_that_died_is_unhealthy(self, jobs, v2):
        found = jobs(("TriggererJob", "running", 10_000), ("DagProcessorJob", "running", 0))
        assert (found["triggerer"]["status"], found["dag_processor"]["status"]) == ("unhealthy", "healthy")
        assert found == v2.get("/monitor/health").json()

    def test_without_a_database_nothing_is_healthy(self, rest, monkeypatch):
        def away(**_):
            raise exc.OperationalError("SELECT 1", {}, Exception("connection refused"))

        monkeypatch.setattr(database, "create_session", away)
        response = rest.get("/monitor/health", role=None)
        assert response.status_code == 200
        assert {part["status"] for part in response.json().values()} == {"unhealthy"}


class TestVersion:
    def test_it_is_found_out_once(self):
        assert monitor.get_version() is monitor.get_version()
