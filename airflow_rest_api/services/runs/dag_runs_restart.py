"""Restarting many runs: an operation that goes through the selected runs, some at a time, each time for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, operation, retries
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading, write
from airflow_rest_api.services.report import Report
from airflow_rest_api.services.runs import selector
from airflow_rest_api.services.runs.dag_run_restart import FAILED, Restarter
from airflow_rest_api.services.runs.selector import RunName

Entry = dict[str, Any]

KIND = "restart_failed_dag_runs"
# Of the runs, where the selector names no states.
STATES = ("failed",)
# So many runs share a transaction: more would hold locks for longer than Airflow should wait for them.
AT_ONCE = 20
RESTARTED, NOTHING_FAILED, GONE, REFUSED = "restarted", "nothing_failed", "gone", "refused"
_TASK = TaskInstance.__table__.c


def restart_failed_dag_runs(
    *, body: Mapping[str, Any], dry_run: bool, caller: Caller, background: Background
) -> Entry:
    """Begin to restart what failed in the runs that the body's ``selector`` selects; return the operation.

    Where no run fits there is nothing to do. A dry run answers an operation whose items tell, of each run, how many
    of its task instances have failed.
    """
    chosen = selector.selected(
        body["selector"], caller.permissions, states=STATES, access_entity="TASK_INSTANCE"
    )
    request = {
        "runs": chosen.runs,
        "left_out": chosen.left_out,
        "beyond_max_runs": chosen.beyond_max_runs,
    }

    def work(session: Session) -> Entry:
        operation_id = background.begin(session, KIND, request, caller, total=len(chosen.runs))
        return operation.get(session, operation_id)

    if dry_run:
        entry = operation.of_dry_run(dry_runs.undone(work))
        return {**entry, "items": _previewed(chosen.runs), "result": _left(request)}
    entry = write(lambda session: retries.done(session, work(session)))
    background.run(entry["operation_id"])
    return entry


def carry_out(request: Entry, report: Report) -> Entry:
    """Restart the runs of a request that nobody has told of yet; return how many became what.

    The operation has failed when a run could not be restarted although something of it had failed.
    """
    runs = [(dag_id, run_id) for dag_id, run_id in request["runs"]]
    restarter = Restarter()
    for some in _portions(runs[len(report.told) :]):
        _restart(restarter, report, some)
    states = Counter(item["state"] for item in report.told)
    return {
        **{state: states[state] for state in (RESTARTED, NOTHING_FAILED, GONE, REFUSED)},
        "failed_task_count": sum(item["failed_task_count"] for item in report.told),
        "clear_task_count": sum(item["clear_task_count"] for item in report.told),
        **_left(request),
        "failed": states[REFUSED],
    }


def _left(request: Entry) -> Entry:
    return {name: request[name] for name in ("left_out", "beyond_max_runs")}


def _portions(runs: Sequence[RunName]) -> Iterator[Sequence[RunName]]:
    return (runs[first : first + AT_ONCE] for first in range(0, len(runs), AT_ONCE))


def _restart(restarter: Restarter, report: Report, runs: Sequence[RunName]) -> None:
    """Restart some runs together; where that is refused because of one of them, one after the other."""
    try:
        report.do(lambda session: _items(session, restarter, runs))
    except (errors.Conflict, errors.NotFound, errors.Unprocessable) as refusal:
        if len(runs) > 1:
            for run in runs:
                _restart(restarter, report, [run])
            return
        report.items([_item(runs[0], REFUSED, error=refusal.detail)])


def _items(session: Session, restarter: Restarter, runs: Sequence[RunName]) -> list[Entry]:
    found = {(one.run.dag_id, one.run.run_id): one for one in restarter.restart(session, runs)}
    items = []
    for run in runs:
        restarted = found.get(run)
        if restarted is None:
            items.append(_item(run, GONE))
        elif restarted.cleared:
            items.append(_item(run, RESTARTED, len(restarted.failed), len(restarted.cleared)))
        else:
            items.append(_item(run, NOTHING_FAILED))
    return items


def _item(run: RunName, state: str, failed: int = 0, cleared: int = 0, error: str | None = None) -> Entry:
    return {
        "dag_id": run[0],
        "dag_run_id": run[1],
        "state": state,
        "failed_task_count": failed,
        "clear_task_count": cleared,
        "error": error,
    }


def _previewed(runs: Sequence[RunName]) -> list[Entry]:
    """Return what has failed in each run; what is downstream of it shows when it is restarted."""
    counts: dict[RunName, int] = {}
    with reading() as session:
        for some in _portions(runs):
            statement = select(_TASK.dag_id, _TASK.run_id, func.count()).group_by(_TASK.dag_id, _TASK.run_id)
            mine = tuple_(_TASK.dag_id, _TASK.run_id).in_(some)
            for dag_id, run_id, number in session.execute(statement.where(mine, _TASK.state.in_(FAILED))):
                counts[dag_id, run_id] = number
    return [
        {
            "dag_id": run[0],
            "dag_run_id": run[1],
            "state": "would_restart" if run in counts else NOTHING_FAILED,
            "failed_task_count": counts.get(run, 0),
            "error": None,
        }
        for run in runs
    ]
