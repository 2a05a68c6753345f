"""Clearing: letting runs go through their tasks again, or seeing what that would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, instants, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import unit_of_work, write
from airflow_rest_api.services.runs import dag_run_changes, dag_run_pages, dag_run_rows
from airflow_rest_api.services.runs.dag_run_rows import Entry
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE

ALL = "~"
_FAILED = ("failed", "upstream_failed")
_PARTITION_FIELDS = ("partition_key", "partition_date_start", "partition_date_end")

RunNames = tuple[str, str]


class OptionsExclusive(errors.Malformed):
    """Two options were given that exclude each other."""

    title = "The options exclude each other"


class SelectionAmbiguous(errors.Malformed):
    """The runs were not selected in exactly one way."""

    title = "The runs are not selected in exactly one way"


class DagIdUnclear(errors.Malformed):
    """It does not follow from path and body which DAG a run belongs to."""

    title = "It is unclear which DAG a run belongs to"


@dataclass(frozen=True)
class Clearing:
    """What clearing means for each run."""

    dry_run: bool
    only_failed: bool
    only_new: bool
    run_on_latest_version: bool | None
    note: str | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Clearing:
        """Read the options of a body; raises `OptionsExclusive`."""
        if body.get("only_new") and body.get("only_failed"):
            raise OptionsExclusive(
                "only_new and only_failed exclude each other; send one of them at the most."
            )
        return cls(
            dry_run=body.get("dry_run", True),
            only_failed=body.get("only_failed", False),
            only_new=body.get("only_new", False),
            run_on_latest_version=body.get("run_on_latest_version"),
            note=body.get("note"),
        )


def clear_dag_run(dag_id: str, dag_run_id: str, *, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Clear a run's task instances and queue it again; a dry run answers what would be cleared.

    Raises `OptionsExclusive`, `DagRunNotFound` and `DagNotFound`.
    """
    options = Clearing.of(body)
    names = (dag_id, dag_run_id)
    if options.dry_run:
        with unit_of_work() as session:
            return _affected(session, [names], options)

    def change(session: Session) -> Entry:
        ids = [_cleared(session, names, options, caller)]
        return retries.done(session, dag_run_rows.by_ids(session, ids)[0])

    return write(change)


def clear_dag_runs(dag_id: str, *, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Clear several runs, those named or those of a partition, in one transaction.

    Raises `OptionsExclusive`, `SelectionAmbiguous`, `Denied`, `DagIdUnclear`, `DagRunNotFound` and `DagNotFound`.
    """
    options = Clearing.of(body)
    _require_one_selection(body)
    named = body.get("dag_runs") or []
    for named_dag in {run.get("dag_id") or dag_id for run in named} or {dag_id}:
        if named_dag != ALL:
            caller.permissions.require_dag(named_dag, "PUT", "RUN")
    if options.dry_run:
        with unit_of_work() as session:
            return _affected(session, _selected(session, dag_id, body), options)

    def change(session: Session) -> Entry:
        ids = [_cleared(session, run, options, caller) for run in _selected(session, dag_id, body)]
        return retries.done(session, dag_run_pages.collection(dag_run_rows.by_ids(session, ids), len(ids)))

    return write(change)


def _require_one_selection(body: Mapping[str, Any]) -> None:
    by_key = body.get("partition_key") is not None
    start, end = (instants.parse_optional(body.get(name)) for name in _PARTITION_FIELDS[1:])
    by_window = start is not None or end is not None
    if sum((bool(body.get("dag_runs")), by_key, by_window)) != 1:
        raise SelectionAmbiguous(
            "Select the runs in exactly one way: by dag_runs (not empty), by partition_key, "
            "or by partition_date_start and partition_date_end."
        )
    if start is not None and end is not None and start > end:
        raise SelectionAmbiguous("partition_date_start lies after partition_date_end.")


def _selected(session: Session, dag_id: str, body: Mapping[str, Any]) -> list[RunNames]:
    """Return the runs that the body selects, each once, in its order."""
    if not body.get("dag_runs"):
        return _of_partition(session, dag_id, body)
    return list(dict.fromkeys(_names(dag_id, run) for run in body["dag_runs"]))


def _names(dag_id: str, run: Mapping[str, Any]) -> RunNames:
    named, dag_run_id = run.get("dag_id"), run["dag_run_id"]
    if dag_id == ALL and (not named or named == ALL):
        raise DagIdUnclear(f"The run '{dag_run_id}' needs its dag_id, because the path has '~'.")
    if dag_id != ALL and named and named != dag_id:
        raise DagIdUnclear(f"The run '{dag_run_id}' is said to be of '{named}', the path has '{dag_id}'.")
    return (named or dag_id, dag_run_id)


def _of_partition(session: Session, dag_id: str, body: Mapping[str, Any]) -> list[RunNames]:
    if dag_id == ALL:
        raise DagIdUnclear("Partitions are selected within one DAG; name it in the path.")
    timetable = structure.read_latest(dag_id, session).timetable
    statement = select(DagRun.run_id).where(DagRun.dag_id == dag_id)
    key, start, end = (body.get(name) for name in _PARTITION_FIELDS)
    if key is not None:
        statement = statement.where(DagRun.partition_key == key)
    else:
        statement = DagRun.apply_partition_date_window(
            statement.where(DagRun.partition_date.is_not(None)),
            timetable=timetable,
            start=instants.parse_optional(start),
            end=instants.parse_optional(end),
        )
    found = session.scalars(statement.order_by(DagRun.partition_date, DagRun.run_id))
    return [(dag_id, run_id) for run_id in found]


def _affected(session: Session, runs: Sequence[RunNames], options: Clearing) -> Entry:
    affected = [entry for names in runs for entry in _affected_of(session, names, options)]
    return {"task_instances": affected, "total_entries": len(affected)}


def _affected_of(session: Session, names: RunNames, options: Clearing) -> list[Entry]:
    dag_id, dag_run_id = names
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == dag_run_id))
    if run is None:
        raise errors.DagRunNotFound(dag_id, dag_run_id)
    structure.of_run(run, session)
    if options.only_new:
        return _new_tasks(session, names)
    statement = task_instance_rows.statement().where(*_of_run(names))
    if options.only_failed:
        statement = statement.where(TASK_INSTANCE.c.state.in_(_FAILED))
    return task_instance_rows.entries(session, session.execute(statement).all())


def _new_tasks(session: Session, names: RunNames) -> list[Entry]:
    """Return the tasks of the latest version of the DAG that the run has no instance of."""
    known = set(session.scalars(select(TASK_INSTANCE.c.task_id).where(*_of_run(names))))
    latest = structure.read_latest(names[0], session)
    return [
        {"task_id": task_id, "task_display_name": task_id} for task_id in sorted(set(latest.task_ids) - known)
    ]


def _of_run(names: RunNames) -> tuple[Any, Any]:
    return TASK_INSTANCE.c.dag_id == names[0], TASK_INSTANCE.c.run_id == names[1]


def _cleared(session: Session, names: RunNames, options: Clearing, caller: Caller) -> int:
    """Clear one run and return its number."""
    run = dag_run_changes.locked(session, *names)
    dag = structure.of_run(run, session)
    dag.clear(
        run_id=run.run_id,
        task_ids=None,
        only_new=options.only_new,
        only_failed=options.only_failed,
        run_on_latest_version=on_latest_version(session, run.dag_id, options.run_on_latest_version),
        session=session,
    )
    if options.note is not None:
        dag_run_changes.set_note(run, options.note, caller)
    session.flush()
    number: int = run.id
    return number


def on_latest_version(session: Session, dag_id: str, wish: bool | None, *, otherwise: bool = False) -> bool:
    """Return what was asked for, or else what the DAG, or else `[core] rerun_with_latest_version` says.

    Where none of them says anything it is ``otherwise``. Raises `DagNotFound`.
    """
    if wish is not None:
        return wish
    of_dag: bool | None = structure.read_latest(dag_id, session).rerun_with_latest_version
    if of_dag is not None:
        return of_dag
    return conf.getboolean("core", "rerun_with_latest_version", fallback=otherwise)
