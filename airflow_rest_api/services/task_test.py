"""Task test: a task runs in a child process on this host, as in `airflow tasks test`, and its true outcome is told.

Airflow's own command makes a run in the database, which a scheduler takes for a real one: it schedules the other tasks
of the DAG. With the date of a real run it changes that one, and it exits with 0 whatever became of the task. So it is
not called: `trial/` runs the task as a worker does, with no run in the database.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.exceptions import NotMapped
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.expandinput import NotFullyPopulated
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import dry_runs, errors, instants, operation, retries
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.dags.dag_refresh import DagHasNoFile
from airflow_rest_api.services.database import write
from airflow_rest_api.services.report import Report
from airflow_rest_api.services.runs.dag_run_clearing import OptionsExclusive
from airflow_rest_api.services.task_instance import MapIndexNeeded
from airflow_rest_api.services.task_instances.trial_output import Masks
from airflow_rest_api.trial import attempt
from airflow_rest_api.trial.attempt import Ending, Progress
from airflow_rest_api.trial.warden import KEPT_OUTPUT, MEMORY_BYTES, MOST_OUTPUT

log = logging.getLogger(__name__)

Entry = dict[str, Any]

KIND = "test_task"
# A test may take an hour and as much memory as it likes below a bound: few at once, and few that wait.
AT_ONCE, MOST_OF_CALLER = 2, 4
SECONDS = 300
_DAG = DagModel.__table__.c
_RUN = DagRun.__table__.c
_GOOD = ("success", "skipped")


class TaskHasNoInstances(errors.Conflict):
    """The task is not mapped, or has no instance with this index."""

    title = "There is no such map index"

    def __init__(self, task_id: str, map_index: int, total: int | None) -> None:
        told = "is not mapped" if total is None else f"is mapped to {total} instances, counted from 0"
        super().__init__(
            f"The task '{task_id}' {told}: there is no map_index {map_index}.",
            task_id=task_id,
            map_index=map_index,
        )


class RunNeeded(errors.Conflict):
    """What the task is mapped over is what other tasks return in a run."""

    title = "A run is needed"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"The task '{task_id}' is mapped over what other tasks return; name a run that has it with dag_run_id.",
            task_id=task_id,
        )


class TooManyTests(errors.TooManyRequests):
    """Enough tests of the caller go on."""

    title = "Too many tests go on"

    def __init__(self) -> None:
        super().__init__(
            f"{MOST_OF_CALLER} of your tests go on or wait; wait for the end of one, or cancel it.",
            retry_after=10,
        )


class TaskTestFailed(errors.Unprocessable):
    """The task did not succeed; the members are the operation's result."""

    title = "The test failed"


def test_task(
    dag_id: str,
    task_id: str,
    *,
    map_index: int,
    body: Mapping[str, Any],
    dry_run: bool,
    caller: Caller,
    background: Background,
) -> Entry:
    """Begin to test a task; return the operation.

    Raises `DagNotFound`, `TaskNotFound`, `DagRunNotFound`, `DagHasNoFile`, `OptionsExclusive`, `MapIndexNeeded`,
    `TaskHasNoInstances`, `RunNeeded` and `TooManyTests`.
    """
    request = _request(dag_id, task_id, map_index, body)

    def work(session: Session) -> Entry:
        require_place(session, request)
        if operation.count_unfinished(session, KIND, caller) >= MOST_OF_CALLER:
            raise TooManyTests
        return operation.get(session, background.begin(session, KIND, request, caller))

    if dry_run:
        return operation.of_dry_run(dry_runs.undone(work))
    entry = write(lambda session: retries.done(session, work(session)))
    background.run(entry["operation_id"], KIND)
    return entry


def _request(dag_id: str, task_id: str, map_index: int, body: Mapping[str, Any]) -> Entry:
    if body.get("dag_run_id") and body.get("logical_date"):
        raise OptionsExclusive(
            "dag_run_id and logical_date exclude each other; send one of them at the most."
        )
    date = body.get("logical_date")
    return {
        "what": "test",
        "dag_id": dag_id,
        "task_id": task_id,
        "map_index": map_index,
        "dag_run_id": body.get("dag_run_id"),
        "logical_date": instants.parse(date).isoformat() if date else None,
        "params": body.get("task_params") or {},
        "seconds": body.get("time_limit", SECONDS),
    }


def require_place(session: Session, request: Mapping[str, Any]) -> None:
    """Raise a refusal unless there are the DAG, its file, the task, its instance and the run."""
    dag_id, task_id, map_index = request["dag_id"], request["task_id"], request["map_index"]
    dag = structure.read_latest(dag_id, session)
    if not dag.has_task(task_id):
        raise errors.TaskNotFound(dag_id, task_id)
    place = select(_DAG.bundle_name, _DAG.relative_fileloc).where(_DAG.dag_id == dag_id)
    if None in (session.execute(place).one_or_none() or (None,)):
        raise DagHasNoFile(dag_id)
    run_id = request["dag_run_id"]
    if run_id and session.scalar(select(_RUN.id).where(_RUN.dag_id == dag_id, _RUN.run_id == run_id)) is None:
        raise errors.DagRunNotFound(dag_id, run_id)
    _require_instance(dag.get_task(task_id), map_index, run_id)


def _require_instance(task: Any, map_index: int, run_id: str | None) -> None:
    try:
        total = task.get_parse_time_mapped_ti_count() if task.get_needs_expansion() else None
    except (NotFullyPopulated, NotMapped):
        if map_index < 0:
            raise MapIndexNeeded(task.task_id) from None
        if run_id is None:
            raise RunNeeded(task.task_id) from None
        return
    if total is not None and map_index < 0:
        raise MapIndexNeeded(task.task_id)
    if map_index >= (total or 0):
        raise TaskHasNoInstances(task.task_id, map_index, total)


def carry_out(request: Entry, report: Report) -> Entry:
    """Carry a test out; return what came of it. Raises `TaskTestFailed` and `Stopped`."""
    told = _Told(report)
    try:
        ending = attempt.carry_out(request, seconds=request["seconds"], heed=told.heed)
    except attempt.Interrupted:
        raise TaskTestFailed("The service was stopped, and the test with it.") from None
    told.heed(told.progress, is_last=True)
    result = told.result(ending)
    if result["task_state"] in _GOOD:
        return result
    if ending.verdict is None and ending.reason in ("done", "lost"):
        log.error(
            "A test of %s ended without a verdict: %s", request["task_id"], told.masks.of_text(ending.said)
        )
    raise TaskTestFailed(_sentence(request, ending), **result)


class _Told:
    """What is told of a test while it goes on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._written = -1
        self.progress = Progress()
        self.masks = Masks()

    def heed(self, progress: Progress, *, is_last: bool = False) -> None:
        """Tell what the task has written by now; raises `Stopped` when the test is cancelled."""
        self.progress = progress
        self.masks.learn(progress.secrets)
        if progress.bytes == self._written and not is_last:
            self._report.check()
            return
        self._written = progress.bytes
        is_whole = progress.bytes <= KEPT_OUTPUT
        self._report.text(self.masks.of_tail(progress.output, is_whole=is_whole, is_last=is_last))

    def result(self, ending: Ending) -> Entry:
        """Return what the operation says at its end."""
        found = ending.verdict or {}
        return {
            "task_state": found.get("task_state") if not found.get("fault") else None,
            "exit_code": found.get("exit_code"),
            "seconds": found.get("seconds"),
            "ended_by": ending.reason if ending.reason not in ("done", "lost") else None,
            "output_bytes": self.progress.bytes,
        }


def _sentence(request: Entry, ending: Ending) -> str:
    task = f"The task '{request['task_id']}' of the DAG '{request['dag_id']}'"
    ended = "it was ended with all that it had started"
    bounds = {
        "timeout": f"{task} did not end within {request['seconds']} s; {ended}.",
        "memory": f"{task} used more than {MEMORY_BYTES >> 30} GiB of memory; {ended}.",
        "output": f"{task} wrote more than {MOST_OUTPUT >> 20} MiB of output; {ended}.",
    }
    if ending.reason in bounds:
        return bounds[ending.reason]
    if ending.verdict is None:
        return f"{task} was not run: the process for it failed; the log of the service tells why."
    if ending.verdict.get("fault"):
        return f"{task} was not run: its file on this host does not hold it, or cannot be imported; the log tells why."
    return f"{task} ended as '{ending.verdict['task_state']}'; the log tells why."
