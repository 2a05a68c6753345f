"""What a task instance waits for by reason of its state: a worker, a trigger, the end of a time, a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from airflow._shared.timezones import timezone
from airflow.configuration import conf
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.models.trigger import Trigger
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from airflow_rest_api.services import jobs
from airflow_rest_api.services.explaining import holding
from airflow_rest_api.services.explaining.explanation_rows import Waiting
from airflow_rest_api.services.explaining.holding import Cause

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

_TRIGGER = Trigger.__table__.c
_RESCHEDULE = TaskReschedule.__table__.c


class _Trigger(NamedTuple):
    classpath: str
    created_at: datetime
    triggerer_id: int | None


class States:
    """Tells about the states of the ``waiting`` task instances of one run; what it asks, it asks for all of them."""

    def __init__(self, session: Session, dag: SerializedDAG | None, waiting: Sequence[Waiting]) -> None:
        self._session = session
        self._dag = dag
        self._waiting = waiting

    def causes(self, waiting: Waiting) -> Iterator[Cause]:
        """Yield what follows from the state of one of them."""
        told = {
            "queued": self._queued,
            "restarting": self._restarting,
            "awaiting_input": self._awaiting_input,
            "deferred": self._deferred,
            "up_for_retry": self._up_for_retry,
            "up_for_reschedule": self._up_for_reschedule,
            # A sensor that was cleared to be looked at anew keeps the time of its next look.
            None: self._up_for_reschedule,
        }
        if waiting.state in told:
            yield from told[waiting.state](waiting)

    def _queued(self, waiting: Waiting) -> Iterator[Cause]:
        seconds = conf.getfloat("scheduler", "task_queued_timeout")
        until = waiting.queued_at and waiting.queued_at + timedelta(seconds=seconds)
        name = f"executor '{waiting.executor}'" if waiting.executor else "executor"
        yield Cause(
            "waits_for_worker",
            f"The {name} has the task, in the queue '{waiting.queue}', and no worker has begun it yet.",
            waiting.since,
            until,
            {"executor": waiting.executor, "queue": waiting.queue},
        )

    def _restarting(self, waiting: Waiting) -> Iterator[Cause]:
        told = "The task was cleared while it ran; its process is being ended before it starts again."
        yield Cause("waits_for_end_of_process", told, waiting.since)

    def _awaiting_input(self, waiting: Waiting) -> Iterator[Cause]:
        yield Cause("waits_for_input", "The task waits for somebody to answer it.", waiting.since)

    def _deferred(self, waiting: Waiting) -> Iterator[Cause]:
        trigger = self._triggers.get(waiting.trigger_id or 0)
        is_dead, since = holding.dead(self._heartbeats, jobs.TRIGGERER)
        if is_dead:
            told = "No triggerer is alive: nothing that the task waits for is noticed until one is."
            yield Cause("no_triggerer_alive", told, since)
        name = trigger.classpath if trigger else None
        yield Cause(
            "waits_for_trigger",
            f"The task waits for its trigger '{name}'." if name else "The task waits for its trigger.",
            trigger.created_at if trigger else waiting.since,
            waiting.trigger_timeout,
            {"trigger": name, "triggerer_id": trigger.triggerer_id if trigger else None},
        )

    def _up_for_retry(self, waiting: Waiting) -> Iterator[Cause]:
        until = self._retries.get(waiting.id)
        if until is not None and until > timezone.utcnow():
            told = f"The last try failed; the next one is not before {until.isoformat()}."
            yield Cause("in_retry_period", told, waiting.since, until)

    def _up_for_reschedule(self, waiting: Waiting) -> Iterator[Cause]:
        until = self._reschedules.get(waiting.id)
        if until is not None and until > timezone.utcnow():
            yield Cause(
                "in_reschedule_period", f"The task looks again at {until.isoformat()}.", waiting.since, until
            )

    def _ids(self, *states: str | None) -> list[UUID]:
        return [one.id for one in self._waiting if one.state in states]

    @cached_property
    def _heartbeats(self) -> dict[str, Any]:
        return jobs.youngest(self._session)

    @cached_property
    def _triggers(self) -> dict[int, _Trigger]:
        ids = {one.trigger_id for one in self._waiting if one.trigger_id is not None}
        rows = self._session.execute(
            select(_TRIGGER.id, _TRIGGER.classpath, _TRIGGER.created_date, _TRIGGER.triggerer_id).where(
                _TRIGGER.id.in_(ids)
            )
        )
        return {id_: _Trigger(*values) for id_, *values in rows}

    @cached_property
    def _retries(self) -> dict[UUID, datetime]:
        """When the next try of each may begin, as Airflow computes it from the task."""
        wanted = (
            select(TaskInstance)
            .where(TaskInstance.id.in_(self._ids("up_for_retry")))
            .options(joinedload(TaskInstance.dag_run))
        )
        found = {}
        for instance in self._session.scalars(wanted):
            if self._dag is not None and self._dag.has_task(instance.task_id) and instance.end_date:
                instance.task = self._dag.get_task(instance.task_id)
                found[instance.id] = instance.next_retry_datetime()
        return found

    @cached_property
    def _reschedules(self) -> dict[UUID, datetime]:
        """When each that asked for it looks again: what it asked for last counts."""
        ids = self._ids("up_for_reschedule", None)
        last = select(func.max(_RESCHEDULE.id)).where(_RESCHEDULE.ti_id.in_(ids)).group_by(_RESCHEDULE.ti_id)
        rows = self._session.execute(
            select(_RESCHEDULE.ti_id, _RESCHEDULE.reschedule_date).where(_RESCHEDULE.id.in_(last))
        )
        return {row[0]: row[1] for row in rows}
