"""What the prepared database holds, by name. Tests read these and leave them as they are (see `new_run`)."""

from __future__ import annotations

from dataclasses import dataclass

# The run that the contract's examples speak of.
EXAMPLE_RUN = "manual__2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Run:
    """A run by its two names."""

    dag_id: str
    dag_run_id: str

    @property
    def path(self) -> str:
        """Where the API has the run."""
        return f"/dags/{self.dag_id}/dagRuns/{self.dag_run_id}"


@dataclass(frozen=True)
class Scenario:
    """The names of the prepared DAGs, runs and task instances; `tests/support/README.md` tells more of each."""

    active: str = "etl"
    paused: str = "example_bash_operator"
    mapped: str = "mapped"
    versioned: str = "versioned"
    stale: str = "removed"
    broken: str = "breaks_later"
    broken_but_active: str = "breaks_and_stays"
    scheduler_only: str = "scheduler_only"
    needs_params: str = "needs_params"
    by_asset: str = "waits_for_assets"
    manual: str = "manual"
    missing: str = "no_such_dag"

    example: Run = Run("example_bash_operator", EXAMPLE_RUN)
    succeeded: Run = Run("etl", "scheduled__2026-01-05T01:30:00+00:00")
    failed: Run = Run("etl", "scheduled__2026-01-06T01:30:00+00:00")
    running: Run = Run("etl", "scheduled__2026-01-07T01:30:00+00:00")
    queued: Run = Run("etl", "manual__no-logical-date")
    backfilled: Run = Run("etl", "backfill__2025-12-03T01:30:00+00:00")
    mapped_run: Run = Run("mapped", "manual__2026-01-02T00:00:00+00:00")
    old_version: Run = Run("versioned", "manual__2026-01-03T00:00:00+00:00")
    new_version: Run = Run("versioned", "manual__2026-01-04T00:00:00+00:00")
    asset_triggered: Run = Run("waits_for_assets", "asset_triggered__2026-01-08T00:00:00+00:00")

    retried_task: str = "load.orders"
    """In `failed`: failed at the third try; two earlier tries are in the history, all three have logs."""


SCENARIO = Scenario()
