"""DAG run changes: the state and the note of a run, and its end as a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.api.common.mark_tasks import (
    set_dag_run_state_to_failed,
    set_dag_run_state_to_queued,
    set_dag_run_state_to_success,
)
from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, listeners
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import write
from airflow_rest_api.services.runs import dag_run_rows
from airflow_rest_api.services.runs.dag_run_rows import Entry

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

DELETABLE = frozenset({"queued", "success", "failed"})


class DagRunIsRunning(errors.Conflict):
    """A run cannot be deleted under the hands of the scheduler."""

    title = "The DAG run is running"

    def __init__(self, dag_id: str, dag_run_id: str) -> None:
        super().__init__(
            f"The run '{dag_run_id}' of the DAG '{dag_id}' is running; set it to failed before you delete it.",
            dag_id=dag_id,
            dag_run_id=dag_run_id,
        )


def patch_dag_run(
    dag_id: str,
    dag_run_id: str,
    *,
    update_mask: Sequence[str] | None,
    body: Mapping[str, Any],
    caller: Caller,
) -> Entry:
    """Set the state, the note or both of a run; raises `DagRunNotFound` and `DagNotFound`."""
    fields = {name: value for name, value in body.items() if not update_mask or name in update_mask}

    def change(session: Session) -> Entry:
        run = locked(session, dag_id, dag_run_id)
        dag = structure.of_run(run, session)
        # The note first: listeners that are told of the state see it.
        if "note" in fields:
            set_note(run, fields["note"], caller)
        if fields.get("state") is not None:
            set_state(session, dag, run, fields["state"])
        session.flush()
        return dag_run_rows.by_ids(session, [run.id])[0]

    return write(change)


def delete_dag_run(dag_id: str, dag_run_id: str) -> None:
    """Delete a run with its task instances; raises `DagRunNotFound` and `DagRunIsRunning`."""

    def change(session: Session) -> None:
        run = locked(session, dag_id, dag_run_id)
        if run.state not in DELETABLE:
            raise DagRunIsRunning(dag_id, dag_run_id)
        session.delete(run)

    write(change)


def locked(session: Session, dag_id: str, dag_run_id: str) -> DagRun:
    """Return the run with its row locked until the unit of work ends; raises `DagRunNotFound`."""
    run: DagRun | None = session.scalar(
        select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == dag_run_id).with_for_update()
    )
    if run is None:
        raise errors.DagRunNotFound(dag_id, dag_run_id)
    return run


def set_note(run: DagRun, note: str | None, caller: Caller) -> None:
    """Write the note in the caller's name; an empty one removes it."""
    if note == "":
        run.dag_run_note = None
    elif run.dag_run_note is None:
        run.note = (note, caller.id)
    else:
        run.dag_run_note.content = note
        run.dag_run_note.user_id = caller.id


def set_state(session: Session, dag: SerializedDAG, run: DagRun, state: str) -> None:
    """Set the run's state as Airflow's own pages do, with what that does to its task instances.

    ``queued`` clears failed tasks; ``success`` and ``failed`` end those that run and skip those that wait.
    """
    if state == "queued":
        # Listeners hear of a run when the scheduler starts it, not before.
        set_dag_run_state_to_queued(dag=dag, run_id=run.run_id, commit=True, session=session)
        return
    end = set_dag_run_state_to_success if state == "success" else set_dag_run_state_to_failed
    _, ended = end(dag=dag, run_id=run.run_id, commit=True, session=session)
    # What the database refuses, it refuses here: listeners are not told twice when the unit of work is retried.
    session.flush()
    run.dag = dag
    listeners.tell_of_task_instances(ended, state)
    listeners.tell_of_run(run, state)
