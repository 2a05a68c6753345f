"""Permissions: the one place where Airflow's auth manager is asked what a caller may do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.configuration import conf
from airflow.models.dag import DagModel

from airflow_rest_api.security import auth_manager
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, Credential, DagScope

Rule = Mapping[str, Any]
ANY = "~"
_KEYS = frozenset({"resource", "access_entity", "method", "id_from", "when"})
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_ENTITIES: dict[str, type[Enum]] = {"dag": DagAccessEntity, "view": AccessView}
# A rule may be about a DAG itself, but not about views in general.
_WITHOUT_ENTITY: dict[str, tuple[None, ...]] = {"dag": (None,), "view": ()}
# An id that no DAG can have: who may touch it, may touch all.
_NO_DAG = "*"


@dataclass(frozen=True)
class AirflowPermissions:
    """What ``user`` may do, as Airflow's auth manager answers it at the time of asking."""

    user: Any

    def may_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> bool:
        """Tell whether the user may use ``method`` on this part of the DAG; None asks for no DAG in particular."""
        entity = DagAccessEntity[access_entity] if access_entity else None
        details = DagDetails(id=dag_id, team_name=_team(dag_id))
        return auth_manager.ask(
            auth_manager.manager().is_authorized_dag,
            method=method,
            access_entity=entity,
            details=details,
            user=self.user,
        )

    def require_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> None:
        """Raise `Denied` unless `may_dag`."""
        if not self.may_dag(dag_id, method, access_entity):
            thing = f"the DAG '{dag_id}'" if dag_id else "DAGs"
            raise self._denied(method, f"{access_entity} of {thing}" if access_entity else thing)

    def require_view(self, view: str) -> None:
        """Raise `Denied` unless the user may see this view of Airflow's."""
        question = auth_manager.manager().is_authorized_view
        if not auth_manager.ask(question, access_view=AccessView[view], user=self.user):
            raise self._denied("GET", f"the view {view}")

    def dag_scope(self, method: str) -> DagScope:
        """Return the DAGs on which the user may use ``method``.

        Airflow's own two managers answer for all DAGs at once where nothing depends on the single DAG; every
        other answer is asked DAG by DAG.
        """
        if auth_manager.knows_no_single_dags() and self.may_dag(_NO_DAG, method):
            return DagScope(frozenset(), everything=True)
        allowed = auth_manager.ask(
            auth_manager.manager().get_authorized_dag_ids, user=self.user, method=method
        )
        return DagScope(frozenset(allowed), everything=False)

    def _denied(self, method: str, thing: str) -> errors.Denied:
        return errors.Denied(f"The user '{self.user.get_name()}' may not do this ({method} on {thing}).")


def caller_of(user: Any, credential: Credential | None = None) -> Caller:
    """Return the caller that a user of the auth manager is."""
    return Caller(str(user.get_id()), user.get_name(), AirflowPermissions(user), user, credential)


def require(rules: Iterable[Rule], caller: Caller, arguments: Mapping[str, Any], body: Any) -> None:
    """Raise `Denied` unless the caller satisfies every rule of an operation's `x-airflow-access`.

    A rule of which ``id_from`` is ``found`` is asked by the service, which alone knows the object.
    """
    for rule in rules:
        if rule.get("id_from") != "found":
            _ask(rule, AirflowPermissions(caller.user), _object_id(rule.get("id_from"), arguments, body))


def unknown(rules: Iterable[Rule]) -> Iterator[str]:
    """Yield what the rules of an operation name that could not be asked: a typing error must not open a door."""
    for rule in rules:
        entities = _ENTITIES.get(rule.get("resource", ""))
        if entities is None:
            yield f"the resource '{rule.get('resource')}'"
        elif rule.get("access_entity") not in (*entities.__members__, *_WITHOUT_ENTITY[rule["resource"]]):
            yield f"the access_entity '{rule.get('access_entity')}'"
        if rule.get("method") not in _METHODS:
            yield f"the method '{rule.get('method')}'"
        yield from (f"the key '{key}'" for key in rule if key not in _KEYS)


def _ask(rule: Rule, permissions: AirflowPermissions, object_id: str | None) -> None:
    if rule["resource"] == "dag":
        permissions.require_dag(object_id, rule["method"], rule.get("access_entity"))
    elif rule["resource"] == "view":
        permissions.require_view(rule["access_entity"])
    else:
        raise LookupError(f"x-airflow-access names an unknown resource: {rule['resource']}")


def _object_id(source: str | None, arguments: Mapping[str, Any], body: Any) -> str | None:
    if source is None:
        return None
    place, _, name = source.partition(".")
    value = _pointed(body, name) if place == "body" else arguments.get(name)
    return None if value in (None, "", ANY) else str(value)


def _pointed(body: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _team(dag_id: str | None) -> str | None:
    if dag_id is None or not conf.getboolean("core", "multi_team", fallback=False):
        return None
    return DagModel.get_team_name(dag_id)
