"""Operations: what a killed process was at is called lost, or taken over, within a minute."""

from __future__ import annotations

import time
from typing import Any

from airflow_rest_api.services import background
from airflow_rest_api.services.background import Background, Kind
from tests.faults.audit import service
from tests.support import work
from tests.support.clients import Client

MOST_SECONDS = 60


def run(full: bool) -> dict[str, object]:
    """Kill a process at its work, with the real lease (quick: one of three seconds)."""
    lease = background.LEASE.total_seconds() if full else 3.0
    with service() as rest:
        lost = seconds_until(rest, lease, "once", None)
        carrier = Background({work.KIND: Kind(work.count_up, is_safe=True)})
        taken_over = seconds_until(rest, lease, "safe", carrier)
        carrier.stop()
    assert max(lost, taken_over) <= MOST_SECONDS
    return {
        "lease": f"{lease:.0f} s",
        "lost after": f"{lost:.1f} s",
        "taken over after": f"{taken_over:.1f} s",
    }


def seconds_until(rest: Client, lease: float, safe: str, carrier: Background | None) -> float:
    """Kill the process once it is at work; tell how long its operation then looks alive."""
    with work.process(lease, safe) as (process, operation_id):
        until(rest, operation_id, lambda entry: entry["progress"]["done"] >= 2)
        process.kill()
        begin = time.monotonic()
        if carrier is None:
            found = until(rest, operation_id, lambda entry: entry["state"] != "running")
            assert found["state"] == "lost", found
            assert "has not been heard of" in found["error"]
            return time.monotonic() - begin
        # As the keeper of another replica does, every `RENEW_SECONDS`.
        while worker_of(operation_id) != carrier.worker:
            carrier.look_after()
            time.sleep(min(background.RENEW_SECONDS, lease / 3))
            assert time.monotonic() - begin < 2 * MOST_SECONDS, "nobody takes it over"
        seconds = time.monotonic() - begin
        rest.post(f"/operations/{operation_id}/cancel")
        assert until(rest, operation_id, lambda entry: entry["state"] == "cancelled")
        return seconds


def worker_of(operation_id: str) -> str | None:
    from sqlalchemy import select

    from airflow_rest_api.services.database import reading
    from airflow_rest_api.storage.tables import operation as table

    with reading() as session:
        return session.scalar(select(table.c.worker).where(table.c.id == operation_id))


def until(rest: Client, operation_id: str, condition: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 2 * MOST_SECONDS
    while True:
        entry: dict[str, Any] = rest.get(f"/operations/{operation_id}").json()
        if condition(entry):
            return entry
        assert time.monotonic() < deadline, entry
        time.sleep(0.2)
