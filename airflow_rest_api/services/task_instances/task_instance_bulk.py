"""Bulk changes of task instances: states, notes and deletions in one request and one transaction (`bulk.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import tuple_
from sqlalchemy.orm import Session

from airflow_rest_api.services import bulk, errors
from airflow_rest_api.services.bulk import Action, Result
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import write
from airflow_rest_api.services.task_instances import task_instance_locks as locks
from airflow_rest_api.services.task_instances import task_instance_rows
from airflow_rest_api.services.task_instances.task_instance_changes import Changes, Place, Wish
from airflow_rest_api.services.task_instances.task_instance_rows import Entry

ALL = "~"
_METHODS = {"update": "PUT", "delete": "DELETE"}

TaskNames = tuple[str, str, str]
Entity = str | Mapping[str, Any]
DagAndMethod = tuple[str, str]


def bulk_task_instances(dag_id: str, dag_run_id: str, *, body: Mapping[str, Any], caller: Caller) -> Entry:
    """Carry out the actions of the body in their order; what the caller may not do is told with the rest."""
    actions: Sequence[Action] = body["actions"]
    places = [
        (action, _place(dag_id, dag_run_id, entity)) for action in actions for entity in action["entities"]
    ]
    asked = {
        (place.dag_id, _METHODS[action["action"]]) for action, place in places if action["action"] in _METHODS
    }
    denied = frozenset(
        pair
        for pair in asked
        if pair[0] != ALL and not caller.permissions.may_dag(*pair, access_entity="TASK_INSTANCE")
    )

    def work(session: Session) -> Entry:
        locks.named_runs(session, [(place.dag_id, place.dag_run_id) for _, place in places])
        return _Hand(session, dag_id, dag_run_id, denied, Changes(session, caller)).carry_out(actions)

    return write(work)


def _place(dag_id: str, dag_run_id: str, entity: Entity) -> Place:
    if isinstance(entity, str):
        return Place(dag_id, dag_run_id, entity, None)
    return Place(
        entity.get("dag_id") or dag_id,
        entity.get("dag_run_id") or dag_run_id,
        entity["task_id"],
        entity.get("map_index"),
    )


@dataclass(frozen=True)
class _Hand:
    """Carries out the actions of one request; ``denied`` is what the caller may not do, by DAG and method."""

    session: Session
    dag_id: str
    dag_run_id: str
    denied: frozenset[DagAndMethod]
    changes: Changes

    def carry_out(self, actions: Sequence[Action]) -> Entry:
        doers = {"create": _create, "update": self._update, "delete": self._delete}
        return bulk.carried_out(self.session, actions, doers)

    def _update(self, action: Action, result: Result) -> None:
        wishes = self._meant(action, result)
        for place, instances in self._existing(action, result, list(wishes)):
            wish = Wish.of(wishes[place], action.get("update_mask"), masked_null=False)
            try:
                self.changes.carry_out(place, wish)
            except (errors.NotFound, errors.Conflict) as refusal:
                bulk.refused(result, refusal)
            else:
                result["success"] += map(_name, instances)

    def _delete(self, action: Action, result: Result) -> None:
        existing = self._existing(action, result, list(self._meant(action, result)))
        # One that is named twice, alone and with its whole task, is deleted once.
        deleted = {instance.id: instance for _, instances in existing for instance in instances}
        for instance in deleted.values():
            self.session.delete(instance)
            result["success"].append(_name(instance))

    def _meant(self, action: Action, result: Result) -> dict[Place, Any]:
        """Return what the action names with what is said of it, and note what it may not or does not name."""
        meant: dict[Place, Any] = {}
        for entity in action["entities"]:
            place = _place(self.dag_id, self.dag_run_id, entity)
            if ALL in (place.dag_id, place.dag_run_id):
                bulk.fail(result, 400, _unclear(place))
            elif (place.dag_id, _METHODS[action["action"]]) in self.denied:
                sentence = f"The user may not {action['action']} task instances of the DAG '{place.dag_id}'."
                bulk.fail(result, 403, sentence)
            else:
                meant[place] = entity
        return meant

    def _existing(
        self, action: Action, result: Result, places: Sequence[Place]
    ) -> list[tuple[Place, list[TaskInstance]]]:
        """Return the places with their task instances: first single ones, then those of whole tasks, as in Airflow.

        Unless missing ones are to be skipped, one that is missing ends the action where its turn comes.
        """
        found = self._instances(places)
        existing: list[tuple[Place, list[TaskInstance]]] = []
        for whole in (False, True):
            turn = [place for place in places if (place.map_index is None) == whole]
            missing = [place for place in turn if not _of(place, found)]
            if missing and bulk.fails_on_missing(action):
                bulk.fail(
                    result, 404, "These task instances were not found: " + ", ".join(map(_told, missing))
                )
                break
            existing += [(place, _of(place, found)) for place in turn if place not in missing]
        return existing

    def _instances(self, places: Sequence[Place]) -> dict[TaskNames, list[TaskInstance]]:
        columns = tuple_(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id)
        found: dict[TaskNames, list[TaskInstance]] = {}
        for chunk in task_instance_rows.chunks(sorted({place[:3] for place in places})):
            for instance in locks.instances(self.session, columns.in_(chunk)):
                found.setdefault((instance.dag_id, instance.run_id, instance.task_id), []).append(instance)
        return found


def _create(_: Action, result: Result) -> None:
    bulk.fail(result, 405, "Task instances are not created in bulk: a run makes those that it needs.")


def _unclear(place: Place) -> str:
    return f"The task '{place.task_id}' needs a dag_id and a dag_run_id of its own, because the path has '~'."


def _of(place: Place, found: Mapping[TaskNames, list[TaskInstance]]) -> list[TaskInstance]:
    instances = found.get(place[:3], [])
    if place.map_index is None:
        return instances
    return [instance for instance in instances if instance.map_index == place.map_index]


def _name(instance: TaskInstance) -> str:
    return f"{instance.dag_id}.{instance.run_id}.{instance.task_id}[{instance.map_index}]"


def _told(place: Place) -> str:
    index = "" if place.map_index is None else f"[{place.map_index}]"
    return f"'{place.dag_id}.{place.dag_run_id}.{place.task_id}{index}'"
