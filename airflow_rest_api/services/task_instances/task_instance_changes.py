"""Task instance changes: the state and the note of task instances, and their end as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from airflow._shared.state import TaskScope
from airflow.configuration import conf
from airflow.models.taskinstance import TaskInstance
from airflow.state.metastore import MetastoreBackend
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from airflow_rest_api.services import errors, listeners
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.database import unit_of_work, write
from airflow_rest_api.services.task_instances import task_instance_locks as locks
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_rows import RUN, Entry

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG


class AlreadyInState(errors.Conflict):
    """There is nothing to set: all task instances in question are in the state already."""

    title = "The task instances are in this state already"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(
            f"The task '{task_id}', and what was to be set with it, is in the state '{state}' already.",
            task_id=task_id,
            state=state,
        )


class Place(NamedTuple):
    """One task of a run, or with a ``map_index`` one of its instances."""

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int | None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of the task instances that are meant."""
        of_task = [
            TaskInstance.dag_id == self.dag_id,
            TaskInstance.run_id == self.dag_run_id,
            TaskInstance.task_id == self.task_id,
        ]
        return of_task if self.map_index is None else [*of_task, TaskInstance.map_index == self.map_index]

    def not_found(self) -> errors.TaskInstanceNotFound:
        """Return the refusal for a place without task instances."""
        return errors.TaskInstanceNotFound(
            self.dag_id, self.dag_run_id, self.task_id, -1 if self.map_index is None else self.map_index
        )


@dataclass(frozen=True)
class Wish:
    """What task instances are to be: ``state`` none leaves it, and ``note`` counts only where ``sets_note``."""

    state: str | None
    note: str | None
    sets_note: bool
    upstream: bool
    downstream: bool
    future: bool
    past: bool

    @classmethod
    def of(
        cls, body: Mapping[str, Any], update_mask: Sequence[str] | None, *, masked_null: bool = True
    ) -> Wish:
        """Read the fields of a body that the mask lets through.

        A note of null is one where the mask names it, as in Airflow: then it empties the note there is; with
        ``masked_null`` unset it is none at all.
        """
        fields = {name: value for name, value in body.items() if not update_mask or name in update_mask}
        return cls(
            state=fields.get("new_state"),
            note=fields.get("note"),
            sets_note="note" in fields
            and (fields["note"] is not None or (masked_null and bool(update_mask))),
            **{name: body.get(f"include_{name}", False) for name in _REACH},
        )

    def reach(self) -> dict[str, bool]:
        """Return how far a state goes, in the words of Airflow's `set_task_instance_state`."""
        return {name: getattr(self, name) for name in _REACH}


_REACH = ("upstream", "downstream", "future", "past")


@dataclass(frozen=True)
class Changes:
    """The changes of one unit of work; each DAG is read once, and is not shared, because Airflow sets it on tasks."""

    session: Session
    caller: Caller
    _dags: dict[str, SerializedDAG] = field(default_factory=dict)

    def carry_out(self, place: Place, wish: Wish) -> list[UUID]:
        """Change task instances and return their ids in the order of their indexes.

        The runs that the wish reaches are locked. Raises `DagNotFound`, `TaskNotFound`, `TaskInstanceNotFound`
        and `AlreadyInState`.
        """
        dag = self._dag(place)
        locks.runs(self.session, *self._reached(place, wish))
        named = locks.instances(self.session, *place.conditions())
        if not named:
            raise place.not_found()
        # The note first: listeners that are told of the state see it.
        if wish.sets_note:
            set_notes(named, wish.note, self.caller)
        if wish.state is not None:
            self._set_state(dag, place, wish)
        self.session.flush()
        return [instance.id for instance in named]

    def preview(self, place: Place, wish: Wish) -> list[UUID]:
        """Return the ids of the task instances that a wish would set, or without a state those that are named.

        Raises what `carry_out` raises, but for `AlreadyInState`.
        """
        dag = self._dag(place)
        ids = list(
            self.session.scalars(
                select(TaskInstance.id).where(*place.conditions()).order_by(TaskInstance.map_index)
            )
        )
        if not ids:
            raise place.not_found()
        if wish.state is None:
            return ids
        return [instance.id for instance in sorted(self._altered(dag, place, wish, commit=False), key=key)]

    def _dag(self, place: Place) -> SerializedDAG:
        dag = self._dags.get(place.dag_id)
        if dag is None:
            dag = self._dags[place.dag_id] = structure.latest(place.dag_id, self.session)
        if not dag.has_task(place.task_id):
            raise errors.TaskNotFound(place.dag_id, place.task_id)
        return dag

    def _reached(self, place: Place, wish: Wish) -> list[ColumnElement[bool]]:
        """Return the conditions of the runs that a wish can reach: by their logical dates, unless they have none."""
        of_dag, of_run = RUN.c.dag_id == place.dag_id, RUN.c.run_id == place.dag_run_id
        date = self.session.scalar(select(RUN.c.logical_date).where(of_dag, of_run))
        if date is None or not (wish.future or wish.past):
            return [of_dag, of_run]
        until = [] if wish.future else [RUN.c.logical_date <= date]
        since = [] if wish.past else [RUN.c.logical_date >= date]
        return [of_dag, RUN.c.logical_date.is_not(None), *until, *since]

    def _set_state(self, dag: SerializedDAG, place: Place, wish: Wish) -> None:
        assert wish.state is not None
        altered = self._altered(dag, place, wish, commit=True)
        if not altered:
            raise AlreadyInState(place.task_id, wish.state)
        if wish.state == TaskInstanceState.SUCCESS:
            _forget_stored_state(self.session, altered)
        self.session.flush()
        listeners.tell_of_task_instances(altered, wish.state)

    def _altered(self, dag: SerializedDAG, place: Place, wish: Wish, *, commit: bool) -> list[TaskInstance]:
        found: list[TaskInstance] = dag.set_task_instance_state(
            task_id=place.task_id,
            run_id=place.dag_run_id,
            map_indexes=None if place.map_index is None else [place.map_index],
            state=TaskInstanceState(wish.state),
            commit=commit,
            session=self.session,
            **wish.reach(),
        )
        return found


def patch_task_instance(
    place: Place, *, update_mask: Sequence[str] | None, body: Mapping[str, Any], caller: Caller
) -> Entry:
    """Set the state, the note or both of a task's instances, the state also of what the body includes.

    Raises `DagNotFound`, `TaskNotFound`, `TaskInstanceNotFound` and `AlreadyInState`.
    """
    wish = Wish.of(body, update_mask)

    def change(session: Session) -> Entry:
        ids = Changes(session, caller).carry_out(place, wish)
        return task_instance_rows.collection(session, ids)

    return write(change)


def patch_task_instance_dry_run(
    place: Place, *, update_mask: Sequence[str] | None, body: Mapping[str, Any], caller: Caller
) -> Entry:
    """Return the task instances whose state would be set, as they are; raises what `patch_task_instance` raises."""
    wish = Wish.of(body, update_mask)
    with unit_of_work() as session:
        ids = Changes(session, caller).preview(place, wish)
        return task_instance_rows.collection(session, ids)


def delete_task_instance(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> None:
    """Delete a task instance; raises `TaskInstanceNotFound`."""
    place = Place(dag_id, dag_run_id, task_id, map_index)

    def change(session: Session) -> None:
        locks.named_runs(session, [(dag_id, dag_run_id)])
        found = locks.instances(session, *place.conditions())
        if not found:
            raise place.not_found()
        session.delete(found[0])

    write(change)


def key(instance: TaskInstance) -> tuple[str, str, int]:
    """Return what lists of task instances of one DAG are ordered by where nobody asks for an order."""
    return instance.run_id, instance.task_id, instance.map_index


def set_notes(instances: Sequence[TaskInstance], note: str | None, caller: Caller) -> None:
    """Write the note in the caller's name; an empty one removes it."""
    for instance in instances:
        if note == "":
            instance.task_instance_note = None
        elif instance.task_instance_note is None:
            instance.note = (note, caller.id)
        else:
            instance.task_instance_note.content = note
            instance.task_instance_note.user_id = caller.id


def _forget_stored_state(session: Session, instances: Sequence[TaskInstance]) -> None:
    """Empty the state store of tasks that are done, as Airflow does where `[state_store] clear_on_success` says so."""
    if not conf.getboolean("state_store", "clear_on_success", fallback=False):
        return
    for instance in instances:
        scope = TaskScope(
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=instance.map_index,
        )
        MetastoreBackend().clear(scope=scope, session=session)
