"""Kill: unfinished task instances are failed at once, and an operation follows their processes to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, operation, retries
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import write
from airflow_rest_api.services.kills import kill_following, kill_request, killing
from airflow_rest_api.services.kills.killing import Killed, RunName, Wish
from airflow_rest_api.services.runs import selector

Entry = dict[str, Any]

TASK, RUN, RUNS = "kill_task_instance", "kill_dag_run", "kill_dag_runs"
_ACTIVE_RUNS = ("queued", "running")


def kill_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    *,
    query: Mapping[str, Any],
    caller: Caller,
    background: Background,
) -> Entry:
    """Kill a task of a run, all of its mapped instances or the one with ``map_index``; return the operation.

    ``query`` has ``states``, ``map_index`` and ``dry_run``. Raises `DagRunNotFound`, `TaskInstanceNotFound` and
    `NothingToKill`.
    """
    wish = Wish((task_id,), query["map_index"], _states(query))
    names, dry_run = [(dag_id, dag_run_id)], query["dry_run"]
    return _begin(TASK, names, wish, dry_run=dry_run, caller=caller, background=background)


def kill_dag_run(
    dag_id: str,
    dag_run_id: str,
    *,
    query: Mapping[str, Any],
    body: Mapping[str, Any],
    caller: Caller,
    background: Background,
) -> Entry:
    """Kill a run, or the tasks of it that the body names; return the operation.

    ``query`` has ``states`` and ``dry_run``. Raises `DagRunNotFound`, `TaskInstanceNotFound` and `NothingToKill`.
    """
    task_ids = body.get("task_ids")
    wish = Wish(None if task_ids is None else tuple(task_ids), None, _states(query))
    names, dry_run = [(dag_id, dag_run_id)], query["dry_run"]
    return _begin(RUN, names, wish, dry_run=dry_run, caller=caller, background=background)


def kill_dag_runs(
    *, query: Mapping[str, Any], body: Mapping[str, Any], caller: Caller, background: Background
) -> Entry:
    """Kill the runs that the body's selector takes, in one transaction; return the operation.

    Those that have ended by then, or have nothing in the ``states``, are passed over.
    """
    found = selector.selected(
        body["selector"], caller.permissions, states=_ACTIVE_RUNS, access_entity="TASK_INSTANCE"
    )
    wish = Wish(states=_states(query))
    told = {"left_out": found.left_out, "beyond_max_runs": found.beyond_max_runs}
    # Portions come in one order, too.
    names, dry_run = sorted(found.runs), query["dry_run"]
    return _begin(RUNS, names, wish, dry_run=dry_run, caller=caller, background=background, told=told)


def _states(query: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(query["states"]) if query["states"] else killing.UNFINISHED


def _begin(
    kind: str,
    names: Sequence[RunName],
    wish: Wish,
    *,
    dry_run: bool,
    caller: Caller,
    background: Background,
    told: Mapping[str, int] | None = None,
) -> Entry:
    def work(session: Session) -> tuple[Entry, Entry]:
        killed = _killed(session, kind, names, wish)
        request = {**kill_request.of(killed, is_by_run=kind == RUNS), "told": dict(told or {})}
        total = len(killed) if kind == RUNS else len(request["tasks"])
        operation_id = background.begin(session, kind, request, caller, total=total)
        return operation.get(session, operation_id), request

    if dry_run:
        entry, request = dry_runs.undone(work)
        return {**operation.of_dry_run(entry), "items": kill_following.expected(request)}
    entry = write(lambda session: retries.done(session, work(session)[0]))
    background.run(entry["operation_id"])
    return entry


def _killed(session: Session, kind: str, names: Sequence[RunName], wish: Wish) -> dict[RunName, Killed]:
    if kind == RUNS:
        return killing.kill_many(session, names, wish)
    return {name: killing.kill(session, *name, wish) for name in names}
