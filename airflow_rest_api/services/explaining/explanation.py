"""Explanations: all that holds back a run and each of its task instances that wait, the most likely cause first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from airflow.ti_deps.dependencies_states import EXECUTION_STATES
from airflow.utils.state import State
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.explaining import date_limits, explanation_rows, holding
from airflow_rest_api.services.explaining.explanation_rows import Held, Waiting
from airflow_rest_api.services.explaining.explanation_slots import Slots
from airflow_rest_api.services.explaining.explanation_states import States
from airflow_rest_api.services.explaining.explanation_upstream import Past, Upstreams
from airflow_rest_api.services.explaining.holding import Cause
from airflow_rest_api.services.task_instances import task_instance_place as place

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

Entry = dict[str, Any]

# How many task instances are told about; the schema bounds them, too.
MOST_TOLD = 1000
_NO_INSTANCES: Mapping[str, Any] = {"task_instances": [], "total_entries": 0, "left_out": 0}
# The states in which a task is in the hands of an executor or a triggerer: pausing the DAG, say, does not stop it.
_IN_HANDS = frozenset({"queued", "restarting", "awaiting_input", "deferred"})
_LAST = frozenset({"no_dag_processor_alive"})
# The scheduler queues what it has scheduled before, whatever the logical date is.
_NOT_OF_SCHEDULED = frozenset({holding.LOGICAL_DATE_AHEAD})
# What is said where nothing else is known to hold a task.
NOTHING_HOLDS = "waits_for_scheduler"
_BY_SCHEDULER = Cause(
    NOTHING_HOLDS, "Nothing holds the task back: it goes on when the scheduler looks at it next."
)


def of_run(session: Session, dag_id: str, dag_run_id: str, caller: Caller) -> Entry:
    """Return the explanation of a run, which has to exist; of an ended run only why it lacks tasks."""
    run = explanation_rows.run(session, dag_id, dag_run_id)
    dag = _structure(session, dag_id, dag_run_id)
    every = explanation_rows.instances(session, dag_id, dag_run_id)
    lacks = _lacks(dag, run, every)
    if run.state in State.finished_dr_states:
        return {"causes": lacks, **_NO_INSTANCES}
    held = _held(session, dag_id, run)
    waiting = explanation_rows.waiting(every, _order(dag))
    told = waiting[:MOST_TOLD]
    explainer = _Explainer(held, States(session, dag, told), _Structure.of(session, dag, run, every, caller))
    return {
        "causes": [*lacks, *(cause.entry() for cause in held)],
        "task_instances": [explainer.entry(one) for one in told],
        "total_entries": len(waiting),
        "left_out": len(waiting) - len(told),
    }


def _held(session: Session, dag_id: str, run: Held) -> list[Cause]:
    return holding.of_run(
        session,
        dag_id,
        run.run_after,
        state=run.state,
        backfill_id=run.backfill_id,
        logical_date=run.logical_date,
    )


def _lacks(dag: SerializedDAG | None, run: Held, every: Sequence[Waiting]) -> list[Entry]:
    if dag is None:
        return []
    present = {one.task_id for one in every}
    return [cause.entry() for cause in date_limits.causes(dag, run.logical_date, run.run_type, present)]


def _structure(session: Session, dag_id: str, dag_run_id: str) -> SerializedDAG | None:
    try:
        return place.structure_for_scheduling(session, dag_id, dag_run_id)
    except errors.DagNotFound:
        return None


def _order(dag: SerializedDAG | None) -> dict[str, int]:
    """Return where each task stands in the DAG: what is upstream comes first, whoever sorts it."""
    if dag is None:
        return {}
    graph = {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks}
    return {task_id: number for number, task_id in enumerate(TopologicalSorter(graph).static_order())}


@dataclass(frozen=True)
class _Structure:
    """What follows from the structure of the run's DAG, where Airflow still has that."""

    dag: SerializedDAG
    upstreams: Upstreams
    past: Past
    slots: Slots

    @classmethod
    def of(
        cls,
        session: Session,
        dag: SerializedDAG | None,
        run: Held,
        every: Sequence[Waiting],
        caller: Caller,
    ) -> _Structure | None:
        """Prepare what is asked; nothing is read before it is needed."""
        if dag is None:
            return None
        active = sum(one.state in EXECUTION_STATES for one in every)
        return cls(
            dag,
            Upstreams(dag, ((one.task_id, one.map_index, one.state) for one in every)),
            Past(session, dag, run.number),
            Slots(session, dag, run.run_id, active, lambda: caller.permissions.dag_scope("GET")),
        )

    def causes(self, waiting: Waiting) -> Iterator[Cause]:
        """Yield what holds one task instance beside its state and its run."""
        if not self.dag.has_task(waiting.task_id):
            told = f"The DAG has no task '{waiting.task_id}' any more; the scheduler will say so."
            yield Cause("task_is_not_in_dag", told)
            return
        if waiting.state != "scheduled":
            yield from self.upstreams.causes(waiting.task_id, waiting.map_index)
            yield from self.past.causes(waiting.task_id)
        yield from self.slots.causes(waiting)


@dataclass(frozen=True)
class _Explainer:
    """Finds the causes of the task instances of one run, with few questions to the database for all of them."""

    held: Sequence[Cause]
    states: States
    structure: _Structure | None

    def entry(self, waiting: Waiting) -> Entry:
        """Return what is told about one task instance."""
        return {
            "task_id": waiting.task_id,
            "map_index": waiting.map_index,
            "state": waiting.state,
            "since": waiting.since,
            "causes": [cause.entry() for cause in self._causes(waiting)],
        }

    def _causes(self, waiting: Waiting) -> list[Cause]:
        own = list(self.states.causes(waiting))
        if waiting.state in _IN_HANDS:
            return own + [cause for cause in self.held if cause.code == "no_scheduler_alive"]
        if self.structure is not None:
            own += self.structure.causes(waiting)
        passed_over = _LAST | _NOT_OF_SCHEDULED if waiting.state == "scheduled" else _LAST
        first = [cause for cause in self.held if cause.code not in passed_over]
        last = [cause for cause in self.held if cause.code in _LAST]
        return [*first, *own, *last] if first or own else [_BY_SCHEDULER, *last]
