"""The operations that are compared: those that both services have, at the same path below their own base."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from benchmark.dataset import Targets
from benchmark.load import FRESH

TRIGGER_PREFIX = "bench_load_"
ALL_TASK_INSTANCES = "get_task_instances_all"


@dataclass(frozen=True)
class Operation:
    """One row of the table: the same requests, in turn, to both services.

    Fields named in `volatile` hold the moment of the answer, or have no order, and are not compared.
    """

    name: str
    paths: tuple[str, ...]
    method: str = "GET"
    body: str | None = None
    status: int = 200
    volatile: frozenset[str] = frozenset()

    @property
    def is_read(self) -> bool:
        """Whether its answers can be compared, and count in the mean."""
        return self.method == "GET"


def every_operation(targets: Targets) -> tuple[Operation, ...]:
    """All operations in the order of the table; the trigger comes last, because it makes the data grow."""
    return (
        *_of_the_service(),
        *_of_dags(targets),
        *_of_runs(targets),
        *_of_task_instances(targets),
        *_of_event_logs(targets),
        _trigger(targets),
    )


def _of_the_service() -> Iterable[Operation]:
    yield Operation("get_version", ("/version",))
    yield Operation("get_health", ("/monitor/health",))


def _of_dags(targets: Targets) -> Iterable[Operation]:
    dags = [f"/dags/{dag_id}" for (dag_id,) in targets.dags]
    yield Operation("get_dags", ("/dags?limit=50",))
    yield Operation("get_dag", tuple(dags))
    details = tuple(f"{dag}/details" for dag in dags)
    yield Operation("get_dag_details", details, volatile=frozenset({"last_parsed"}))
    # Airflow writes a set of task ids in the order of its hashes, which differs from process to process.
    unordered = frozenset({"downstream_task_ids"})
    yield Operation("get_tasks", tuple(f"{dag}/tasks" for dag in dags), volatile=unordered)
    yield Operation("get_task", tuple(f"{dag}/tasks/load" for dag in dags), volatile=unordered)
    yield Operation("get_dag_source", tuple(f"/dagSources/{dag_id}" for (dag_id,) in targets.dags))
    yield Operation("get_dag_versions", tuple(f"{dag}/dagVersions" for dag in dags))
    yield Operation("get_dag_version", tuple(f"{dag}/dagVersions/1" for dag in dags))
    yield Operation("get_import_errors", ("/importErrors",))


def _of_runs(targets: Targets) -> Iterable[Operation]:
    of_one = tuple(f"/dags/{dag_id}/dagRuns?limit=50" for (dag_id,) in targets.dags)
    yield Operation("get_dag_runs", of_one)
    yield Operation("get_dag_runs_all", ("/dags/~/dagRuns?limit=50",))
    yield Operation("get_dag_runs_all_newest", ("/dags/~/dagRuns?limit=50&order_by=-start_date",))
    yield Operation("get_dag_run", tuple(_run_path(*run) for run in targets.runs))


def _of_task_instances(targets: Targets) -> Iterable[Operation]:
    runs = [_run_path(*run) for run in targets.runs]
    retried = [f"{_run_path(dag, run)}/taskInstances/{task}" for dag, run, task in targets.retried]
    yield Operation("get_task_instances", tuple(f"{run}/taskInstances" for run in runs))
    yield Operation(ALL_TASK_INSTANCES, ("/dags/~/dagRuns/~/taskInstances?limit=100",))
    yield Operation("get_task_instance", tuple(f"{run}/taskInstances/transform" for run in runs))
    yield Operation("get_task_instance_tries", tuple(f"{path}/tries" for path in retried))
    yield Operation("get_task_instance_try_details", tuple(f"{path}/tries/1" for path in retried))


def _of_event_logs(targets: Targets) -> Iterable[Operation]:
    yield Operation("get_event_logs", ("/eventLogs?limit=50",))
    yield Operation("get_event_log", tuple(f"/eventLogs/{number}" for (number,) in targets.event_logs))


def _trigger(targets: Targets) -> Operation:
    body = json.dumps({"dag_run_id": TRIGGER_PREFIX + FRESH, "logical_date": None, "conf": {"country": "fr"}})
    paths = tuple(f"/dags/{dag_id}/dagRuns" for (dag_id,) in targets.paused_dags)
    return Operation("trigger_dag_run", paths, method="POST", body=body)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
