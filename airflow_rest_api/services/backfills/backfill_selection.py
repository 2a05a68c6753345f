"""Backfill selection: backfills of some tasks of their DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.backfill import BackfillDagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services.backfills import backfill_schedule
from airflow_rest_api.services.backfills.backfill_refusals import RunsWouldBeReprocessed
from airflow_rest_api.services.backfills.backfill_rows import Entry
from airflow_rest_api.services.backfills.backfill_schedule import Wish
from airflow_rest_api.services.runs import selection, selection_outcome
from airflow_rest_api.services.runs.dag_run_rows import RUN
from airflow_rest_api.services.runs.selection import Selection

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.timetables.base import DagRunInfo

_MEMBER = BackfillDagRun.__table__.c


def of(
    session: Session,
    dag: SerializedDAG,
    infos: Sequence[DagRunInfo],
    wish: Wish,
    body: Mapping[str, Any],
) -> Selection | None:
    """Return the tasks that the body selects, if it does.

    Runs that are there are cleared as a whole, by Airflow as well, so that a selection is for new ones alone; of a
    partition there is always a new one. Raises `RunsWouldBeReprocessed` and what `selection.of` raises.
    """
    if not selection.is_wanted(body):
        return None
    selected = selection.of(dag, body)
    if not dag.timetable.partitioned:
        plan = backfill_schedule.planned(session, dag, infos, wish.behavior)
        cleared = [str(run.info.logical_date) for run in plan if run.exists and run.reason is None]
        if cleared:
            raise RunsWouldBeReprocessed(dag.dag_id, cleared)
    return selected


def preview(selected: Selection) -> dict[str, Any]:
    """Tell what would become of the tasks of each run."""
    return {**selection.marks(selected), "warnings": [warning.told() for warning in selected.warnings]}


def told(session: Session, entry: Entry) -> Entry:
    """Return the entry of a backfill, with `selection` when its runs were made of some tasks.

    Runs that the backfill did not make, and took over as they were, do not count.
    """
    members = select(_MEMBER.dag_run_id).where(_MEMBER.backfill_id == entry["id"])
    made = (RUN.c.id.in_(members), RUN.c.created_at >= entry["created_at"])
    found = selection_outcome.of_runs(session, made)
    return entry if found is None else {**entry, "selection": found}
