"""A forgetful server: tells a task what it asks for, and stores nothing of the trial.

A task speaks to Airflow's execution API. Here it speaks to one in the same process, which answers what is read:
connections, variables, what other tasks returned. What becomes of the task itself, and what it returns, stays in
memory. So a trial has no run of its own in the database, which the scheduler would take up, and touches no real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from airflow.sdk.api import client as sdk
from airflow.sdk.api.datamodels._generated import (
    InactiveAssetsResponse,
    PrevSuccessfulDagRunResponse,
    TaskStateStoreResponse,
    TIRunContext,
    XComResponse,
)
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse, TaskRescheduleStartDate
from airflow.sdk.execution_time.supervisor import in_process_api_server

_OK = OKResponse(ok=True)


@dataclass
class Kept:
    """What would have been stored: where the task is to go on, and what it returned."""

    context: TIRunContext
    deferred: Any = None
    xcoms: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)


class _TaskInstances(sdk.TaskInstanceOperations):
    """What a task says of itself is kept; what it asks of others is passed on."""

    __slots__ = ("kept",)

    def __init__(self, client: sdk.Client, kept: Kept) -> None:
        super().__init__(client)
        self.kept = kept

    def start(self, *_: Any) -> TIRunContext:
        return self.kept.context

    def defer(self, _: Any, msg: Any) -> None:
        self.kept.deferred = msg

    def _nothing(self, *_: Any, **__: Any) -> OKResponse:
        return _OK

    finish = retry = succeed = await_input = reschedule = heartbeat = skip_downstream_tasks = _nothing
    set_rtif = set_rendered_map_index = _nothing

    def validate_inlets_and_outlets(self, _: Any) -> InactiveAssetsResponse:
        return InactiveAssetsResponse(inactive_assets=[])

    def get_reschedule_start_date(self, _: Any, __: int = 1) -> TaskRescheduleStartDate:
        return TaskRescheduleStartDate(start_date=None)

    def get_previous_successful_dagrun(self, _: Any) -> PrevSuccessfulDagRunResponse:
        run = self.kept.context.dag_run
        if run.logical_date is None:
            return PrevSuccessfulDagRunResponse()
        found = self.client.dag_runs.get_previous(run.dag_id, run.logical_date, "success").dag_run
        names = PrevSuccessfulDagRunResponse.model_fields
        return PrevSuccessfulDagRunResponse(**{name: getattr(found, name, None) for name in names})


class _XComs(sdk.XComOperations):
    """What the task returns is kept from others; what others have returned is there for it."""

    __slots__ = ("kept",)

    def __init__(self, client: sdk.Client, kept: Kept) -> None:
        super().__init__(client)
        self.kept = kept

    def get(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str,
        map_index: int | None = None,
        include_prior_dates: bool = False,
    ) -> XComResponse:
        place = (dag_id, run_id, task_id, _index(map_index), key)
        if place in self.kept.xcoms:
            return XComResponse(key=key, value=self.kept.xcoms[place])
        return super().get(dag_id, run_id, task_id, key, map_index, include_prior_dates)

    def set(self, *place: Any, **_: Any) -> OKResponse:
        dag_id, run_id, task_id, key, value, *rest = place
        self.kept.xcoms[dag_id, run_id, task_id, _index(*rest), key] = value
        return _OK

    def delete(self, *_: Any, **__: Any) -> OKResponse:
        return _OK


def _index(map_index: int | None = None) -> int:
    # No task has both an instance without an index and the first one of many.
    return max(map_index or 0, 0)


class _Store(sdk.TaskStateStoreOperations):
    """What a task notes for its next try is kept for this trial."""

    __slots__ = ("kept",)

    def __init__(self, client: sdk.Client, kept: Kept) -> None:
        super().__init__(client)
        self.kept = kept

    def get(self, _: Any, key: str) -> Any:
        if key not in self.kept.store:
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={"key": key})
        return TaskStateStoreResponse(value=self.kept.store[key])

    def set(self, _: Any, key: str, value: Any, expires_at: datetime | None = None) -> OKResponse:
        self.kept.store[key] = value
        return _OK

    def delete(self, _: Any, key: str) -> OKResponse:
        self.kept.store.pop(key, None)
        return _OK

    def clear(self, _: Any) -> OKResponse:
        self.kept.store.clear()
        return _OK


class _Server(httpx.BaseTransport):
    """Airflow's execution API in this process, built when a task first asks for something: that takes a while."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response = in_process_api_server().transport.handle_request(request)
        return answer


class Client(sdk.Client):
    """A client of Airflow's execution API that remembers for itself what the server should not."""

    def __init__(self, kept: Kept) -> None:
        super().__init__(base_url=None, token="", dry_run=True, transport=_Server())
        self.base_url = "http://in-process.invalid./"
        self._instead: dict[type, Any] = {kind: kind(self, kept) for kind in (_TaskInstances, _XComs, _Store)}

    def request(self, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """Ask once: faults of a server in the same process do not pass by waiting."""
        return sdk.Client.request.__wrapped__(self, *given, **named)

    @property
    def task_instances(self) -> Any:
        """Return what stands in for the operations of task instances."""
        return self._instead[_TaskInstances]

    @property
    def xcoms(self) -> Any:
        """Return what stands in for the operations of XComs."""
        return self._instead[_XComs]

    @property
    def task_state_store(self) -> Any:
        """Return what stands in for the operations of the tasks' store."""
        return self._instead[_Store]
