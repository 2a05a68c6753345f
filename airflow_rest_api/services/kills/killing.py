"""Killing: task instances become failed for good, in one transaction, so that nothing of them is started any more.

Airflow ends the processes: it refuses the next heartbeat of a task's supervisor, which sends SIGTERM to the process
group and five seconds later SIGKILL. A start that is on its way is refused in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow._shared.timezones import timezone
from airflow.listeners.listener import get_listener_manager
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, lazyload

from airflow_rest_api.services import errors, listeners
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.runs import dag_run_changes
from airflow_rest_api.services.task_instances import task_instance_place as place

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

# The ids of a DAG and of its run.
RunName = tuple[str, str]

_AT_ONCE = 200
# What a task instance without a state is called.
NONE = "none"
RUNNING, QUEUED, RESTARTING = (
    TaskInstanceState.RUNNING.value,
    TaskInstanceState.QUEUED.value,
    TaskInstanceState.RESTARTING.value,
)
# What Airflow lets listeners hear of when it ends a run.
_ACTIVE = frozenset({"running", "deferred", "up_for_reschedule", "awaiting_input"})
_UNFINISHED_RUN = frozenset({"queued", "running"})


class NothingToKill(errors.Conflict):
    """No task instance that was asked for is in a state that can be killed."""

    title = "There is nothing to kill"

    def __init__(self, dag_id: str, dag_run_id: str, found: Counter[str], wanted: Collection[str]) -> None:
        told = ", ".join(f"{number} × {state}" for state, number in sorted(found.items())) or "none at all"
        words = "is unfinished" if wanted == UNFINISHED else f"is {' or '.join(sorted(wanted))}"
        super().__init__(
            f"No task instance of the run '{dag_run_id}' of the DAG '{dag_id}' that you named {words}; "
            f"there are: {told}.",
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            states=dict(sorted(found.items())),
        )


def _word(state: str | None) -> str:
    return NONE if state is None else str(getattr(state, "value", state))


UNFINISHED = frozenset(_word(state) for state in State.unfinished)


@dataclass(frozen=True)
class Wish:
    """Which task instances of a run to kill; None is all of them, and a run without exceptions is ended itself.

    A run of which nothing goes on is ended when all is to be killed that is unfinished, whatever its state.
    """

    task_ids: tuple[str, ...] | None = None
    map_index: int | None = None
    states: frozenset[str] = UNFINISHED


class Victim(NamedTuple):
    """A task instance that was killed, and the state that it was in."""

    instance: TaskInstance
    former_state: str


class Killed(NamedTuple):
    """What was killed of a run: the task instances; the teardowns that go on; what the run was in."""

    victims: tuple[Victim, ...]
    left_running: tuple[str, ...]
    former_run_state: str


def kill(session: Session, dag_id: str, dag_run_id: str, wish: Wish) -> Killed:
    """Fail what is unfinished of a run as far as it was asked for, and the whole run where nothing is left to do.

    Teardowns are left alone when a run is killed, if they have something to tear down, unless they are named.

    Raises `DagRunNotFound`, `TaskInstanceNotFound` and `NothingToKill`.
    """
    run = dag_run_changes.locked(session, dag_id, dag_run_id)
    killed = _kill(run, _instances(session, [run])[run.dag_id, run.run_id], wish, Structures(session))
    session.flush()
    _tell_listeners(session, run, killed)
    return killed


def kill_many(session: Session, names: Sequence[RunName], wish: Wish) -> dict[RunName, Killed]:
    """Kill runs as `kill` does, with few statements for many; those with nothing to kill, or gone, are left out."""
    structures, killed = Structures(session), {}
    for begin in range(0, len(names), _AT_ONCE):
        runs = _locked(session, names[begin : begin + _AT_ONCE])
        instances = _instances(session, runs)
        of_these: dict[RunName, tuple[DagRun, Killed]] = {}
        for run in runs:
            name = run.dag_id, run.run_id
            with suppress(NothingToKill):
                of_these[name] = run, _kill(run, instances[name], wish, structures)
        session.flush()
        for name, (run, of_run) in of_these.items():
            _tell_listeners(session, run, of_run)
            killed[name] = of_run
    return killed


class Structures:
    """The structures that runs go on with, each looked up once; None where the DAG is gone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, Any], SerializedDAG | None] = {}

    def of(self, run: DagRun) -> SerializedDAG | None:
        """Return the structure, not to be changed."""
        key = run.dag_id, run.created_dag_version_id if run.bundle_version else None
        if key not in self._known:
            self._known[key] = self._look_up(run)
        return self._known[key]

    def _look_up(self, run: DagRun) -> SerializedDAG | None:
        with suppress(errors.DagNotFound):
            return place.structure_for_scheduling(self._session, run.dag_id, run.run_id)
        return None


def _kill(run: DagRun, instances: Sequence[TaskInstance], wish: Wish, structures: Structures) -> Killed:
    """Fail what there is in the session; it is not flushed."""
    former = _word(run.state)
    named = _named(run, instances, wish)
    spared = _due_teardowns(structures.of(run), instances) if wish.task_ids is None else frozenset()
    victims = [one for one in named if _word(one.state) in wish.states and one.task_id not in spared]
    killed = tuple(Victim(instance, _word(instance.state)) for instance in victims)
    ends_run = wish.task_ids is None and former in _UNFINISHED_RUN
    is_idle = wish.states == UNFINISHED and not any(_is_unfinished(one) for one in instances)
    if not victims and not (ends_run and is_idle):
        found = Counter(_word(one.state) for one in named)
        raise NothingToKill(run.dag_id, run.run_id, found, wish.states)
    _fail(victims)
    if ends_run and not any(_is_unfinished(instance) for instance in instances):
        run.state = DagRunState.FAILED
    left = sorted({one.task_id for one in instances if one.task_id in spared and _is_unfinished(one)})
    return Killed(killed, tuple(left), former)


def _locked(session: Session, names: Sequence[RunName]) -> Sequence[DagRun]:
    wanted = tuple_(DagRun.dag_id, DagRun.run_id).in_(names)
    # In one order, so that two such calls wait for each other and not each for the other.
    ordered = select(DagRun).where(wanted).order_by(DagRun.id)
    return session.scalars(ordered.with_for_update()).all()


def _instances(session: Session, runs: Sequence[DagRun]) -> dict[RunName, list[TaskInstance]]:
    """Return the task instances of runs, locked: Airflow starts one and hears its heartbeat under the same lock."""
    of_runs: dict[RunName, list[TaskInstance]] = {(run.dag_id, run.run_id): [] for run in runs}
    wanted = tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(list(of_runs))
    ordered = select(TaskInstance).where(wanted).order_by(TaskInstance.task_id, TaskInstance.map_index)
    statement = ordered.options(lazyload(TaskInstance.dag_run)).with_for_update(of=TaskInstance)
    for instance in session.scalars(statement):
        of_runs[instance.dag_id, instance.run_id].append(instance)
    return of_runs


def _named(run: DagRun, instances: Sequence[TaskInstance], wish: Wish) -> list[TaskInstance]:
    if wish.task_ids is None:
        return list(instances)
    for task_id in wish.task_ids:
        of_task = [instance for instance in instances if instance.task_id == task_id]
        if not any(wish.map_index in (None, instance.map_index) for instance in of_task):
            index = -1 if wish.map_index is None else wish.map_index
            raise errors.TaskInstanceNotFound(run.dag_id, run.run_id, task_id, index)
    return [
        instance
        for instance in instances
        if instance.task_id in wish.task_ids and wish.map_index in (None, instance.map_index)
    ]


def _due_teardowns(dag: SerializedDAG | None, instances: Sequence[TaskInstance]) -> frozenset[str]:
    """Return the teardowns that have something to tear down: they run, or a setup of theirs has succeeded.

    Of a teardown without setups, whatever has been started is worth it. A DAG that is gone has no teardowns.
    """
    teardowns = [task for task in dag.tasks if task.is_teardown] if dag else []
    if not teardowns:
        return frozenset()
    done = {instance.task_id for instance in instances if _word(instance.state) == "success"}
    begun = {one.task_id for one in instances if one.start_date is not None or one.state in _ACTIVE}
    return frozenset(
        task.task_id for task in teardowns if task.task_id in begun or _has_work(task, done, begun)
    )


def _has_work(teardown: Any, done: Collection[str], begun: Collection[str]) -> bool:
    setups = [task.task_id for task in teardown.upstream_list if task.is_setup]
    return any(setup in done for setup in setups) if setups else bool(begun)


def _is_unfinished(instance: TaskInstance) -> bool:
    return _word(instance.state) in UNFINISHED


def _fail(instances: Iterable[TaskInstance]) -> None:
    """Do what `TaskInstance.set_state` does, in one statement for all in place of several for each."""
    now = timezone.utcnow()
    for instance in instances:
        instance.state = TaskInstanceState.FAILED
        instance.start_date = instance.start_date or now
        instance.end_date = instance.end_date or now
        instance.duration = (instance.end_date - instance.start_date).total_seconds()


def _tell_listeners(session: Session, run: DagRun, killed: Killed) -> None:
    if not get_listener_manager().has_listeners:
        return
    active = (victim.instance for victim in killed.victims if victim.former_state in _ACTIVE)
    listeners.tell_of_task_instances(active, "failed")
    if _word(run.state) != killed.former_run_state:
        with suppress(errors.DagNotFound):
            run.dag = structure.of_run(run, session)
        listeners.tell_of_run(run, "failed")
