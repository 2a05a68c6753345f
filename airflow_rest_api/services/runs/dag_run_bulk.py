"""Bulk changes of runs: many states, notes and deletions in one request and one transaction (`bulk.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow.models.dagrun import DagRun
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from airflow_rest_api.services import bulk, errors
from airflow_rest_api.services.bulk import Action, Result
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import write
from airflow_rest_api.services.runs import dag_run_changes
from airflow_rest_api.services.runs.dag_run_rows import Entry

ALL = "~"

RunNames = tuple[str, str]


def bulk_dag_runs(dag_id: str, *, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Carry out the actions of the body in their order; raises `Denied` before the first when one is not allowed."""
    for named_dag, method in _touched(dag_id, body["actions"]):
        caller.permissions.require_dag(named_dag, method, "RUN")
    return write(lambda session: _carry_out(session, dag_id, body["actions"], caller))


def _touched(dag_id: str, actions: list[Action]) -> set[tuple[str, str]]:
    """Return each DAG that the actions name, with the method that each takes."""
    touched = set()
    for action in actions:
        methods = bulk.methods(action)
        for entity in action["entities"]:
            named = dag_id if isinstance(entity, str) else entity.get("dag_id") or dag_id
            touched |= {(named, method) for method in methods if named != ALL}
    return touched


def _carry_out(session: Session, dag_id: str, actions: list[Action], caller: Caller) -> Entry:
    doers = {
        "create": lambda _, result: bulk.fail(
            result, 405, "Runs are not created in bulk; trigger them one by one."
        ),
        "update": lambda action, result: _update(session, dag_id, action, result, caller),
        "delete": lambda action, result: _delete(session, dag_id, action, result),
    }
    return bulk.carried_out(session, actions, doers)


def _update(session: Session, dag_id: str, action: Action, result: Result, caller: Caller) -> None:
    wishes = {}
    for entity in action["entities"]:
        names = _names(dag_id, entity, result)
        if names:
            wishes[names] = entity

    def change(names: RunNames, run: DagRun) -> None:
        wish = wishes[names]
        if wish.get("state") is not None:
            dag_run_changes.set_state(session, structure.of_run(run, session), run, wish["state"])
        if wish.get("note") is not None:
            dag_run_changes.set_note(run, wish["note"], caller)

    _each(session, action, list(wishes), result, change)


def _delete(session: Session, dag_id: str, action: Action, result: Result) -> None:
    named = {_names(dag_id, entity, result) for entity in action["entities"]} - {None}

    def change(names: RunNames, run: DagRun) -> None:
        if run.state not in dag_run_changes.DELETABLE:
            raise dag_run_changes.DagRunIsRunning(*names)
        session.delete(run)

    _each(session, action, sorted(names for names in named if names), result, change)


def _names(dag_id: str, entity: str | Mapping[str, Any], result: Result) -> RunNames | None:
    """Return the DAG and the run that an entity names, or note that it names none."""
    dag_run_id = entity if isinstance(entity, str) else entity["dag_run_id"]
    named = dag_id if isinstance(entity, str) else entity.get("dag_id") or dag_id
    if ALL in (named, dag_run_id):
        bulk.fail(result, 400, f"The run '{dag_run_id}' needs a dag_id of its own, because the path has '~'.")
        return None
    return named, dag_run_id


def _each(
    session: Session,
    action: Action,
    wanted: list[RunNames],
    result: Result,
    change: Callable[[RunNames, DagRun], None],
) -> None:
    """Change each run that exists; unless missing ones are to be skipped, one that is missing stops the action."""
    runs = _locked(session, wanted)
    missing = sorted(set(wanted) - set(runs))
    if missing and bulk.fails_on_missing(action):
        bulk.fail(
            result, 404, "These runs were not found: " + ", ".join(f"'{dag}.{run}'" for dag, run in missing)
        )
        return
    for names in wanted:
        if names not in runs:
            continue
        try:
            change(names, runs[names])
        except errors.NotFound as refusal:
            # The run's DAG is gone: Airflow leaves the rest of the action undone.
            bulk.refused(result, refusal)
            return
        except errors.Conflict as refusal:
            bulk.refused(result, refusal)
        else:
            result["success"].append(".".join(names))


def _locked(session: Session, wanted: list[RunNames]) -> dict[RunNames, DagRun]:
    if not wanted:
        return {}
    # In one order everywhere, so that two requests do not wait for each other.
    statement = select(DagRun).where(tuple_(DagRun.dag_id, DagRun.run_id).in_(wanted)).order_by(DagRun.id)
    return {(run.dag_id, run.run_id): run for run in session.scalars(statement.with_for_update())}
