"""What task instances wait for in their own run and the one before: trigger rules, setups, teardowns, the past.

All states are read before, in one query for the run; what is decided for a task is decided once for all its instances.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.models.backfill import BackfillDagRun
from airflow.models.dagrun import DagRun
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from airflow_rest_api.services.explaining import trigger_rules
from airflow_rest_api.services.explaining.holding import Cause
from airflow_rest_api.services.explaining.trigger_rules import InTheWay, State, Upstream
from airflow_rest_api.services.task_instances.task_instance_rows import TASK_INSTANCE

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# How many upstream tasks a cause names, and how many of them its sentence does.
MOST_UPSTREAM = 50
_IN_A_SENTENCE = 5
_SUCCEEDED = ("success", "skipped")


class Upstreams:
    """What task instances of one run wait for upstream; ``states`` are of all instances by task id and map index."""

    def __init__(self, dag: SerializedDAG, states: Iterable[tuple[str, int, State]]) -> None:
        self._dag = dag
        self._by_index: dict[str, dict[int, State]] = defaultdict(dict)
        self._whole: dict[str, Counter[State]] = defaultdict(Counter)
        for task_id, map_index, state in states:
            self._by_index[task_id][map_index] = state
            self._whole[task_id][state] += 1
        self._known: dict[tuple[str, int | None], list[Cause]] = {}

    def causes(self, task_id: str, map_index: int) -> list[Cause]:
        """Return the causes of one instance of a task that the DAG has."""
        task = self._dag.get_task(task_id)
        in_group = map_index >= 0 and task.get_closest_mapped_task_group() is not None
        key = (task_id, map_index if in_group else None)
        if key not in self._known:
            self._known[key] = list(self._decide(task, key[1]))
        return self._known[key]

    def _decide(self, task: Any, index: int | None) -> Iterator[Cause]:
        rule = str(getattr(task.trigger_rule, "value", task.trigger_rule))
        if not task.upstream_task_ids or rule == "always":
            return
        if not task.is_teardown and self._has_setups:
            yield from self._setups(task, index)
        upstream = [
            self._upstream(task, self._dag.get_task(one), index) for one in sorted(task.upstream_task_ids)
        ]
        if not trigger_rules.is_met(rule, upstream):
            found = trigger_rules.in_the_way(rule, upstream)
            yield _unmet(
                "trigger_rule_unmet", f"The trigger rule '{rule}' is not met", found, trigger_rule=rule
            )
        elif task.is_teardown:
            yield from self._scope(task, index)

    @cached_property
    def _has_setups(self) -> bool:
        return any(task.is_setup for task in self._dag.tasks)

    def _setups(self, task: Any, index: int | None) -> Iterator[Cause]:
        setups = {one.task_id: one for one in task.get_upstreams_only_setups()}
        indirect = [setups[task_id] for task_id in sorted(setups.keys() - task.upstream_task_ids)]
        upstream = [self._upstream(task, one, index) for one in indirect]
        if not trigger_rules.is_met(trigger_rules.SETUPS, upstream):
            found = trigger_rules.in_the_way(trigger_rules.SETUPS, upstream)
            yield _unmet("setup_not_done", "A setup has not succeeded", found)

    def _scope(self, task: Any, index: int | None) -> Iterator[Cause]:
        """Yield the work between the setups of a teardown and itself that is not done."""
        indirect = task.get_flat_relative_ids(upstream=True) - task.upstream_task_ids
        scope: set[str] = set()
        for setup in (one for one in task.upstream_list if one.is_setup):
            scope |= indirect & setup.get_flat_relative_ids(upstream=False)
        upstream = [self._upstream(task, self._dag.get_task(task_id), index) for task_id in sorted(scope)]
        if not trigger_rules.is_met("all_done", upstream):
            found = trigger_rules.in_the_way("all_done", upstream)
            yield _unmet("setup_in_use", "Not all is done that uses the setup", found)

    def _upstream(self, task: Any, upstream: Any, index: int | None) -> Upstream:
        """Return the instances of an upstream task that count: in a common mapped group those of the same index."""
        states = self._whole.get(upstream.task_id) or Counter({None: 1})
        if index is not None and _share_group(task, upstream):
            own = self._by_index[upstream.task_id]
            states = Counter(own[at] for at in (-1, index) if at in own) or states
        return Upstream(upstream.task_id, states, upstream.is_setup)


def _share_group(task: Any, other: Any) -> bool:
    groups = {group.group_id for group in task.iter_mapped_task_groups()}
    return any(group.group_id in groups for group in other.iter_mapped_task_groups())


def _unmet(code: str, told: str, found: Sequence[InTheWay], **facts: Any) -> Cause:
    named = ", ".join(_words(entry) for entry in found[:_IN_A_SENTENCE])
    more = f", and {len(found) - _IN_A_SENTENCE} more" if len(found) > _IN_A_SENTENCE else ""
    upstream = [
        {"task_id": entry.task_id, "state": entry.state, "count": entry.number}
        for entry in found[:MOST_UPSTREAM]
    ]
    facts = {**facts, "upstream": upstream, "left_out": len(found) - len(upstream)}
    return Cause(code, f"{told}: {named}{more}.", facts=facts)


def _words(entry: InTheWay) -> str:
    state = "without a state" if entry.state is None else entry.state
    return (
        f"'{entry.task_id}' is {state}"
        if entry.number == 1
        else f"{entry.number} of '{entry.task_id}' are {state}"
    )


class Past:
    """What tasks that depend on the past wait for in the run before; asked once, and only where a task does."""

    def __init__(self, session: Session, dag: SerializedDAG, run_number: int) -> None:
        self._session = session
        self._dag = dag
        self._run_number = run_number

    def causes(self, task_id: str) -> Iterator[Cause]:
        """Yield what a task that the DAG has waits for; the conditions are those of `PrevDagrunDep`."""
        task = self._dag.get_task(task_id)
        if not task.depends_on_past or self._previous is None or self._is_before(task):
            return
        run_id = self._previous.run_id
        facts = {"dag_run_id": run_id}
        counts = self._unsuccessful
        if task_id not in counts:
            if not (task.ignore_first_depends_on_past and task_id not in self._ran_before):
                yield Cause(
                    "past_not_run",
                    f"The task depends on the past, and did not run in '{run_id}'.",
                    facts=facts,
                )
        elif counts[task_id]:
            told = f"The task depends on the past, and did not succeed in the run before, '{run_id}'."
            yield Cause("past_not_successful", told, facts=facts)
        elif task.wait_for_downstream and any(counts.get(one) for one in task.downstream_task_ids):
            told = f"The task waits for what is downstream of it in the run before, '{run_id}'."
            yield Cause("past_downstream_not_successful", told, facts=facts)

    @cached_property
    def _previous(self) -> DagRun | None:
        run = self._session.get(DagRun, self._run_number)
        if run is None or (run.backfill_id and self._is_first_of_backfill(run)):
            return None
        if self._dag.catchup:
            return DagRun.get_previous_scheduled_dagrun(run.id, session=self._session)
        return DagRun.get_previous_dagrun(run, session=self._session)

    def _is_first_of_backfill(self, run: DagRun) -> bool:
        wanted = select(BackfillDagRun.sort_ordinal).filter_by(backfill_id=run.backfill_id, dag_run_id=run.id)
        return self._session.scalar(wanted) == 1

    def _is_before(self, task: Any) -> bool:
        """Tell whether the run before is one from before the task began."""
        date = self._previous.logical_date if self._previous else None
        return bool(self._dag.catchup and task.start_date and date and date < task.start_date)

    @cached_property
    def _unsuccessful(self) -> dict[str, int]:
        """How many instances of each task of the run before have not succeeded."""
        assert self._previous is not None
        columns = TASK_INSTANCE.c
        rows = self._session.execute(
            select(columns.task_id, columns.state, func.count())
            .where(columns.dag_id == self._previous.dag_id, columns.run_id == self._previous.run_id)
            .group_by(columns.task_id, columns.state)
        )
        found: Counter[str] = Counter()
        for task_id, state, count in rows:
            found[task_id] += 0 if state in _SUCCEEDED else count
        return found

    @cached_property
    def _ran_before(self) -> set[str]:
        """The tasks of which there is an instance in any run about an earlier time."""
        run = self._session.get(DagRun, self._run_number)
        assert run is not None
        columns, runs = TASK_INSTANCE.c, DagRun.__table__.c
        wanted = (
            select(columns.task_id)
            .distinct()
            .join_from(
                TASK_INSTANCE,
                DagRun.__table__,
                (runs.dag_id == columns.dag_id) & (runs.run_id == columns.run_id),
            )
            .where(runs.dag_id == run.dag_id, runs.logical_date < run.logical_date)
        )
        return set(self._session.scalars(wanted))
