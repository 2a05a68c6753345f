"""The outcome of a selection: what became of the selected tasks of a run, which the run's own state does not tell.

Airflow decides the state of a run by the last tasks of its DAG. Of a run of some tasks these are skipped as a rule,
and so it succeeds whatever happened to the selected ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, delete, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services.runs.dag_run_rows import RUN, Entry
from airflow_rest_api.storage.tables import selection as table

_TASK_INSTANCE = TaskInstance.__table__
_ENDED = frozenset({"success", "failed"})
# The number of a run may be given once more after it was deleted; a run made later was made at another time.
_SAME_RUN = and_(RUN.c.id == table.c.dag_run, RUN.c.created_at == table.c.created_at)


def remember(
    session: Session,
    runs: Sequence[DagRun],
    *,
    task_ids: Sequence[str],
    first: Sequence[str],
    map_index: int | None,
    warnings: Sequence[Any],
) -> None:
    """Note which tasks of runs were selected, and forget the selections of runs that were deleted."""
    session.execute(delete(table).where(~select(RUN.c.id).where(_SAME_RUN).exists()))
    noted = {
        "task_ids": list(task_ids),
        "first_task_ids": list(first),
        "map_index": map_index,
        "warnings": list(warnings),
    }
    rows = [{"dag_run": run.id, "created_at": run.created_at, **noted} for run in runs]
    session.execute(insert(table), rows)


def told(session: Session, entry: Entry) -> Entry:
    """Return the entry of a run, with `selection` when the run was made of some tasks."""
    names = (RUN.c.dag_id == entry["dag_id"], RUN.c.run_id == entry["dag_run_id"])
    statement = select(table.c.task_ids, table.c.first_task_ids, table.c.map_index, table.c.warnings)
    found = session.execute(statement.select_from(RUN.join(table, _SAME_RUN)).where(*names)).one_or_none()
    if found is None:
        return entry
    instances = _instances(session, entry, found)
    answer: Entry = {
        "task_ids": found.task_ids,
        "outcome": _outcome(entry["state"], instances, found),
        "states": dict(Counter(state or "none" for _, state, _ in instances)),
        "warnings": found.warnings,
    }
    return {**entry, "selection": answer}


def of_runs(session: Session, runs: Sequence[ColumnElement[bool]]) -> Entry | None:
    """Return what was selected of runs that were made alike, and how many of them came to each outcome.

    ``runs`` are conditions on the table of runs. None where no task was selected of any of them.
    """
    selected = (table.c.task_ids, table.c.first_task_ids, table.c.warnings)
    statement = select(RUN.c.run_id, RUN.c.state, *selected).select_from(RUN.join(table, _SAME_RUN))
    found = session.execute(statement.where(*runs)).all()
    if not found:
        return None
    instances = _instances_by_run(session, runs, found[0].task_ids)
    outcomes = Counter(_outcome(row.state, instances[row.run_id], row) for row in found)
    return {"task_ids": found[0].task_ids, "outcomes": dict(outcomes), "warnings": found[0].warnings}


def _instances_by_run(
    session: Session, runs: Sequence[ColumnElement[bool]], task_ids: Sequence[str]
) -> Mapping[str, list[tuple[str, str | None, int]]]:
    column = _TASK_INSTANCE.c
    same_run = and_(column.dag_id == RUN.c.dag_id, column.run_id == RUN.c.run_id)
    statement = select(column.run_id, column.task_id, column.state, column.try_number)
    statement = statement.join_from(RUN, _TASK_INSTANCE, same_run).where(*runs, column.task_id.in_(task_ids))
    found: dict[str, list[tuple[str, str | None, int]]] = defaultdict(list)
    for run_id, task_id, state, tries in session.execute(statement):
        found[run_id].append((task_id, state, tries))
    return found


def _instances(session: Session, entry: Entry, found: Any) -> list[tuple[str, str | None, int]]:
    columns = (_TASK_INSTANCE.c.task_id, _TASK_INSTANCE.c.state, _TASK_INSTANCE.c.try_number)
    mine = [
        _TASK_INSTANCE.c.dag_id == entry["dag_id"],
        _TASK_INSTANCE.c.run_id == entry["dag_run_id"],
    ]
    if found.map_index is not None:
        mine.append(_TASK_INSTANCE.c.map_index == found.map_index)
    selected = set(found.task_ids)
    rows = session.execute(select(*columns).where(*mine))
    return [(row[0], row[1], row[2]) for row in rows if row[0] in selected]


def _outcome(state: str | None, instances: Sequence[tuple[str, str | None, int]], found: Any) -> str:
    """Return the state of a run that goes on; of one that has ended, whether all selected tasks came to a good end."""
    if state not in _ENDED:
        return state or "queued"
    first, missing = set(found.first_task_ids), set(found.task_ids)
    for task_id, task_state, tries in instances:
        missing.discard(task_id)
        if not _is_good(task_state, may_skip=tries > 0 or (state == "success" and task_id not in first)):
            return "failed"
    return "failed" if missing else "success"


def _is_good(state: str | None, *, may_skip: bool) -> bool:
    """Tell whether a task did what it should, or decided itself, or was told by a selected one, to be skipped."""
    return state == TaskInstanceState.SUCCESS or (state == TaskInstanceState.SKIPPED and may_skip)
