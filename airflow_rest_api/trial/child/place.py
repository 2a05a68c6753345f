"""Place: which file a task is in, and the run in whose context it is tried, as the database tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun as RunOfServer
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance, TIRunContext
from airflow.sdk.api.datamodels._generated import DagRun as Run
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload
from uuid6 import uuid7

# More than Airflow allows: a task whose DAG is not in the file has failed, and is not to come again.
_RESCHEDULED_ENOUGH = 1 << 30


@dataclass(frozen=True)
class Place:
    """Where a task is tried: its file in a bundle, itself as an instance of no run, and the context that it is told."""

    bundle: BundleInfo
    path: str
    instance: TaskInstance
    context: TIRunContext


def find(order: Mapping[str, Any]) -> Place:
    """Return the place that an order names; what it names was there a moment ago."""
    with create_session(scoped=False) as session:
        dag_id, task_id = order["dag_id"], order["task_id"]
        model: Any = session.scalars(select(DagModel).where(DagModel.dag_id == dag_id)).one()
        dag: Any = SerializedDagModel.get_dag(dag_id, session=session)
        version: Any = DagVersion.get_latest_version(dag_id, session=session)
        run = _run(session, order) if order["dag_run_id"] else None
        context = (
            RunOfServer.model_validate(run, from_attributes=True).model_dump()
            if run
            else _made_up(order, dag)
        )
        retries = int(dag.get_task(task_id).retries or 0)
        return Place(
            BundleInfo(name=model.bundle_name, version=run.bundle_version if run else model.bundle_version),
            model.relative_fileloc,
            TaskInstance(
                id=uuid7(),
                dag_id=dag_id,
                task_id=task_id,
                run_id=context["run_id"],
                try_number=1,
                map_index=order["map_index"],
                dag_version_id=version.id,
            ),
            TIRunContext(
                dag_run=Run(**context),
                max_tries=retries,
                should_retry=retries > 0,
                task_reschedule_count=_RESCHEDULED_ENOUGH,
                xcom_keys_to_clear=[],
            ),
        )


def _run(session: Session, order: Mapping[str, Any]) -> Any:
    statement = select(DagRun).where(DagRun.dag_id == order["dag_id"], DagRun.run_id == order["dag_run_id"])
    return session.scalars(statement.options(joinedload(DagRun.consumed_asset_events))).unique().one()


def _made_up(order: Mapping[str, Any], dag: Any) -> dict[str, Any]:
    """Return a run that is nowhere but here, as Airflow's command line makes one."""
    now = datetime.now(timezone.utc)
    logical_date = datetime.fromisoformat(order["logical_date"]) if order["logical_date"] else None
    interval = (
        dag.timetable.infer_manual_data_interval(run_after=_pendulum(logical_date)) if logical_date else None
    )
    return {
        "dag_id": order["dag_id"],
        "run_id": f"__airflow_temporary_run_{now.isoformat()}__",
        "logical_date": logical_date,
        "data_interval_start": interval and interval.start,
        "data_interval_end": interval and interval.end,
        "run_after": interval.end if interval else now,
        "start_date": now,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": {},
        "consumed_asset_events": [],
        "partition_key": None,
    }


def _pendulum(moment: datetime) -> Any:
    import pendulum

    return pendulum.instance(moment)
