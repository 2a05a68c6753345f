"""What task instances wait for beside others: slots of pools and executors, and how many may be active at once.

The limits are those that Airflow 3.3 keeps when it hands tasks to executors
(`SchedulerJobRunner._executable_task_instances_to_queued`); each is read at most once for a whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from airflow.ti_deps.dependencies_states import ACTIVE_STATES, EXECUTION_STATES
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_rest_api.services import jobs
from airflow_rest_api.services.caller import DagScope
from airflow_rest_api.services.explaining.explanation_rows import Waiting
from airflow_rest_api.services.explaining.holding import Cause
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# How many DAGs are named that occupy a pool.
MOST_OCCUPANTS = 10
_TI = TASK_INSTANCE.c


class Slots:
    """The limits that the task instances of one run share with others.

    ``scope`` is asked, only when a pool is full, which DAGs may be named to the caller.
    """

    def __init__(
        self, session: Session, dag: SerializedDAG, run_id: str, active: int, scope: Callable[[], DagScope]
    ) -> None:
        self._session = session
        self._dag = dag
        self._run_id = run_id
        self._active = active
        self._scope = scope
        self._full: dict[str, dict[str, Any]] = {}

    def causes(self, waiting: Waiting) -> Iterator[Cause]:
        """Yield the limits that are reached for one task instance of a task that the DAG has."""
        yield from self._pool(waiting)
        limit = self._max_active_tasks
        if limit is not None and self._active >= limit:
            told = f"As many tasks of the run are active as may be at once: {self._active} of {limit}."
            yield Cause("max_active_tasks_reached", told, facts={"active": self._active, "limit": limit})
        yield from self._of_task(waiting)
        yield from self._executor(waiting)

    @cached_property
    def _pools(self) -> dict[str, Any]:
        return dict(Pool.slots_stats(session=self._session))

    def _pool(self, waiting: Waiting) -> Iterator[Cause]:
        name, needed = waiting.pool, waiting.pool_slots
        pool = self._pools.get(name)
        if pool is None:
            told = f"The pool '{name}' does not exist; make it, and the task goes on."
            yield Cause("pool_does_not_exist", told, facts={"pool": name})
            return
        facts = {"pool": name, "needed": needed, "slots": pool["total"]}
        if pool["total"] == 0:
            yield Cause("pool_has_no_slots", f"The pool '{name}' has no slots; give it some.", facts=facts)
        elif needed > pool["total"]:
            told = f"The task needs {needed} slots, and the pool '{name}' has only {pool['total']}."
            yield Cause("pool_is_too_small", told, facts=facts)
        elif needed > pool["open"]:
            taken = pool["total"] - pool["open"]
            told = f"The pool '{name}' is full: {taken} of {pool['total']} slots are taken; the task needs {needed}."
            yield Cause("pool_is_full", told, facts={**facts, "occupied": taken, **self._occupants(name)})

    def _occupants(self, pool: str) -> dict[str, Any]:
        """Return which DAGs occupy a pool, of those that the caller may read; the largest first."""
        if pool not in self._full:
            states = {*EXECUTION_STATES}
            if self._session.scalar(select(Pool.include_deferred).where(Pool.pool == pool)):
                states.add(TaskInstanceState.DEFERRED)
            slots = func.sum(_TI.pool_slots)
            rows = self._session.execute(
                select(_TI.dag_id, slots)
                .where(_TI.pool == pool, _TI.state.in_(states), *self._scope().restrict(_TI.dag_id))
                .group_by(_TI.dag_id)
                .order_by(slots.desc(), _TI.dag_id)
                .limit(MOST_OCCUPANTS)
            )
            named = [{"dag_id": dag_id, "slots": int(taken)} for dag_id, taken in rows]
            self._full[pool] = {"occupied_by": named}
        return self._full[pool]

    @cached_property
    def _max_active_tasks(self) -> int | None:
        limit: int | None = self._session.scalar(
            select(DagModel.max_active_tasks).where(DagModel.dag_id == self._dag.dag_id)
        )
        return limit

    def _of_task(self, waiting: Waiting) -> Iterator[Cause]:
        task = self._dag.get_task(waiting.task_id)
        for name, where, per_run in (
            ("max_active_tis_per_dag", "in all runs", False),
            ("max_active_tis_per_dagrun", "in the run", True),
        ):
            limit = getattr(task, name)
            if limit is None:
                continue
            active = self._active_of_task(waiting.task_id, per_run=per_run)
            if active >= limit:
                told = f"As many instances of the task are active {where} as may be at once: {active} of {limit}."
                yield Cause(f"{name}_reached", told, facts={"active": active, "limit": limit})

    def _active_of_task(self, task_id: str, *, per_run: bool) -> int:
        return sum(
            count
            for (task, run), count in self._active_of_tasks.items()
            if task == task_id and (not per_run or run == self._run_id)
        )

    @cached_property
    def _active_of_tasks(self) -> Counter[tuple[str, str]]:
        """How many instances of tasks that have a limit are active in each run of the DAG."""
        limited = [
            task.task_id
            for task in self._dag.tasks
            if task.max_active_tis_per_dag is not None or task.max_active_tis_per_dagrun is not None
        ]
        rows = self._session.execute(
            select(_TI.task_id, _TI.run_id, func.count())
            .where(_TI.dag_id == self._dag.dag_id, _TI.task_id.in_(limited), _TI.state.in_(ACTIVE_STATES))
            .group_by(_TI.task_id, _TI.run_id)
        )
        return Counter({(task_id, run_id): count for task_id, run_id, count in rows})

    def _executor(self, waiting: Waiting) -> Iterator[Cause]:
        """Yield that an executor is full: `[core] parallelism` is what it takes from each scheduler."""
        limit = self._parallelism
        active = self._by_executor[waiting.executor]
        if active >= limit:
            name = f"executor '{waiting.executor}'" if waiting.executor else "executor"
            told = f"The {name} has as many tasks as it takes at once: {active} of {limit}."
            yield Cause("parallelism_reached", told, facts={"active": active, "limit": limit})

    @cached_property
    def _parallelism(self) -> int:
        return conf.getint("core", "parallelism") * max(1, jobs.count_alive(self._session, jobs.SCHEDULER))

    @cached_property
    def _by_executor(self) -> Counter[str | None]:
        rows = self._session.execute(
            select(_TI.executor, func.count()).where(_TI.state.in_(EXECUTION_STATES)).group_by(_TI.executor)
        )
        return Counter({row[0]: row[1] for row in rows})
