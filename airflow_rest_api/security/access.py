"""Permissions: the one place where Airflow's auth manager is asked what a caller may do.

A rule of an operation's `x-airflow-access`:

- ``resource``: `dag`, `view`, `variable`, `connection`, `pool`, or `power` for a rule about nothing else;
- ``method``: GET, POST, PUT or DELETE; of a power always PUT;
- ``access_entity``: the part of a DAG, or which view;
- ``id_from``: where the object's id comes from: `path.NAME`, `query.NAME`, `body.POINTER`, or `found`, which leaves
  the question to the service: it alone knows the object;
- ``when``: in words, when a rule holds that the service asks;
- ``switch``: a setting without which the operation is refused to everybody, asked before everything else;
- ``power``: what an administrator has to have granted (`powers.py`), asked before the object.

So `{resource: power, power: deploy, method: PUT, switch: deploy_enabled}` is a rule, and so is
`{resource: dag, method: PUT, id_from: path.dag_id, switch: test_enabled, power: test}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
    PoolDetails,
    VariableDetails,
)
from airflow.configuration import conf
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from airflow.models.variable import Variable

from airflow_rest_api.security import auth_manager, powers
from airflow_rest_api.security.switches import SWITCHES, Switches
from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller, Credential, DagScope, NamedScope, Permissions

Rule = Mapping[str, Any]
ANY = "~"
FOUND = "found"
_KEYS = frozenset({"resource", "access_entity", "method", "id_from", "when", "switch", "power"})
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_PLACE = re.compile(r"(path|query)\.\w+|body\./\w+(/\w+)*|found")
_ENTITIES: dict[str, type[Enum]] = {"dag": DagAccessEntity, "view": AccessView}
# An id that no DAG can have: who may touch it, may touch all.
_NO_DAG = "*"


class _Named(NamedTuple):
    """A resource of Airflow's of which each object may belong to a team: how to ask, and how to find the team."""

    question: str
    listing: str
    details: Callable[..., Any]
    id: str
    team_of: Callable[[str], str | None]


_NAMED = {
    "variable": _Named(
        "is_authorized_variable", "get_authorized_variables", VariableDetails, "key", Variable.get_team_name
    ),
    "connection": _Named(
        "is_authorized_connection",
        "get_authorized_connections",
        ConnectionDetails,
        "conn_id",
        Connection.get_team_name,
    ),
    "pool": _Named("is_authorized_pool", "get_authorized_pools", PoolDetails, "name", Pool.get_team_name),
}
_RESOURCES = frozenset({*_ENTITIES, *_NAMED, "power"})


@dataclass(frozen=True)
class AirflowPermissions:
    """What ``user`` may do, as Airflow's auth manager answers it at the time of asking.

    An auth manager that does not implement a question has not said yes.
    """

    user: Any
    switches: Switches = field(default_factory=Switches)

    def may_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> bool:
        """Tell whether the user may use ``method`` on this part of the DAG; None asks for no DAG in particular."""
        entity = DagAccessEntity[access_entity] if access_entity else None
        details = DagDetails(id=dag_id, team_name=_team(dag_id))
        return self._permits("is_authorized_dag", method=method, access_entity=entity, details=details)

    def require_dag(self, dag_id: str | None, method: str, access_entity: str | None = None) -> None:
        """Raise `Denied` unless `may_dag`."""
        if not self.may_dag(dag_id, method, access_entity):
            thing = f"the DAG '{dag_id}'" if dag_id else "DAGs"
            raise self._denied(method, f"{access_entity} of {thing}" if access_entity else thing)

    def may_view(self, view: str) -> bool:
        """Tell whether the user may see this view of Airflow's."""
        return self._permits("is_authorized_view", access_view=AccessView[view])

    def require_view(self, view: str) -> None:
        """Raise `Denied` unless `may_view`."""
        if not self.may_view(view):
            raise self._denied("GET", f"the view {view}")

    def may_named(self, resource: str, object_id: str | None, method: str, team: str | None = None) -> bool:
        """Tell whether the user may use ``method`` on a variable, connection or pool; None is none in particular.

        Where there are teams, ``team`` is the one that a body names: a change is one of the team that has the object
        and of the team that gets it.
        """
        named = _NAMED[resource]
        return all(
            self._permits(
                named.question,
                method=method,
                details=named.details(**{named.id: object_id}, team_name=of_team),
            )
            for of_team in _teams(named, object_id, method, team)
        )

    def require_named(
        self, resource: str, object_id: str | None, method: str, team: str | None = None
    ) -> None:
        """Raise `Denied` unless `may_named`."""
        if not self.may_named(resource, object_id, method, team):
            thing = f"the {resource} '{object_id}'" if object_id else f"{resource}s"
            raise self._denied(method, thing)

    def require_switch(self, name: str) -> None:
        """Raise `SwitchOff` unless this setting allows the operation on this installation."""
        self.switches.require(name)

    def may_power(self, power: str) -> bool:
        """Tell whether an administrator has granted the user this power; switches are another question."""
        return powers.granted(self.user, power)

    def require_power(self, power: str) -> None:
        """Raise `PowerMissing` unless `may_power`."""
        if not self.may_power(power):
            raise powers.PowerMissing(self.user.get_name(), power)

    def dag_scope(self, method: str) -> DagScope:
        """Return the DAGs on which the user may use ``method``.

        Airflow's own two managers answer for all DAGs at once where nothing depends on the single DAG; every
        other answer is asked DAG by DAG.
        """
        if auth_manager.knows_no_single_dags() and self.may_dag(_NO_DAG, method):
            return DagScope(frozenset(), everything=True)
        allowed = self._answer("get_authorized_dag_ids", method=method) or ()
        return DagScope(frozenset(allowed), everything=False)

    def named_scope(self, resource: str, method: str) -> NamedScope:
        """Return the objects of a kind (`variable`, `connection`, `pool`) on which the user may use ``method``.

        Airflow's own two managers know no single ones of them; every other answer is asked name by name.
        """
        if auth_manager.knows_no_single_dags():
            return NamedScope(frozenset(), everything=self.may_named(resource, None, method))
        allowed = self._answer(_NAMED[resource].listing, method=method) or ()
        return NamedScope(frozenset(allowed), everything=False)

    def _permits(self, question: str, **details: Any) -> bool:
        return bool(self._answer(question, **details))

    def _answer(self, question: str, **details: Any) -> Any:
        try:
            return auth_manager.ask(getattr(auth_manager.manager(), question), user=self.user, **details)
        except NotImplementedError:
            return None

    def _denied(self, method: str, thing: str) -> errors.Denied:
        return errors.Denied(f"The user '{self.user.get_name()}' may not do this ({method} on {thing}).")


def caller_of(user: Any, credential: Credential | None = None, switches: Switches | None = None) -> Caller:
    """Return the caller that a user of the auth manager is; without ``switches`` all of them are off."""
    permissions = AirflowPermissions(user, switches or Switches())
    return Caller(str(user.get_id()), user.get_name(), permissions, user, credential)


def require(rules: Iterable[Rule], caller: Caller, arguments: Mapping[str, Any], body: Any) -> None:
    """Raise `Denied` unless the caller satisfies every rule of an operation's `x-airflow-access`.

    The switches come first: what is switched off is nobody's, and that is the way out to be told. Of a rule with
    ``id_from: found`` the object is left to the service, and with ``when`` the rest as well.
    """
    asked = _asked(rules)
    permissions = caller.permissions
    for rule in asked:
        if "switch" in rule:
            permissions.require_switch(rule["switch"])
    for rule in asked:
        if "power" in rule:
            permissions.require_power(rule["power"])
        if rule.get("id_from") != FOUND:
            _ask(rule, permissions, object_id(rule, arguments, body), body)


def require_possible(rules: Sequence[Rule], caller: Caller, path: Mapping[str, Any]) -> None:
    """Raise `Denied` if the caller may not call an operation whatever the query and the body are.

    ``path`` holds the arguments of the path. A rule about another object is asked about any object. An operation
    that has conditional rules alone requires that one of them could hold.
    """
    asked, permissions = _asked(rules), caller.permissions
    for rule in asked:
        if "switch" in rule:
            permissions.require_switch(rule["switch"])
    for rule in asked:
        if "power" in rule:
            permissions.require_power(rule["power"])
        if rule.get("id_from") is None or rule["id_from"].startswith("path."):
            _ask(rule, permissions, object_id(rule, path, None), None)
        elif not _is_possible(rule, permissions):
            raise _denied(rule, caller)
    if rules and not asked and not any(_is_possible(rule, permissions) for rule in rules):
        raise _denied(rules[0], caller)


def unknown(rules: Iterable[Rule], parameters: Iterable[str] | None = None) -> Iterator[str]:
    """Yield what the rules of an operation name that could not be asked: a typing error must not open a door.

    ``parameters`` are the names of the operation's own, which ``id_from`` may point to; None leaves them unchecked.
    """
    known = None if parameters is None else frozenset(parameters)
    for rule in rules:
        yield from _unknown_resource(rule)
        if rule.get("method") not in ({"PUT"} if rule.get("resource") == "power" else _METHODS):
            yield f"the method '{rule.get('method')}'"
        yield from _unknown_place(rule, known)
        if "switch" in rule and rule["switch"] not in SWITCHES:
            yield f"the switch '{rule['switch']}'"
        if ("power" in rule or rule.get("resource") == "power") and rule.get("power") not in powers.RESOURCES:
            yield f"the power '{rule.get('power')}'"
        yield from (f"the key '{key}'" for key in rule if key not in _KEYS)


def _unknown_resource(rule: Rule) -> Iterator[str]:
    resource, entity = rule.get("resource"), rule.get("access_entity")
    if resource not in _RESOURCES:
        yield f"the resource '{resource}'"
    # A rule may be about a DAG itself, but not about views in general.
    elif entity not in (_ENTITIES[resource].__members__ if resource in _ENTITIES else ()) and (
        entity is not None or resource == "view"
    ):
        yield f"the access_entity '{entity}'"


def _unknown_place(rule: Rule, parameters: frozenset[str] | None) -> Iterator[str]:
    source = rule.get("id_from")
    if source is None:
        return
    place, _, name = str(source).partition(".")
    wrong = parameters is not None and place in ("path", "query") and name not in parameters
    if wrong or not _PLACE.fullmatch(str(source)):
        yield f"the id_from '{source}'"


def object_id(rule: Rule, arguments: Mapping[str, Any], body: Any) -> str | None:
    """Return the id of the object that a rule is about, None for no object in particular."""
    source = rule.get("id_from")
    if source is None or source == FOUND:
        return None
    place, _, name = source.partition(".")
    value = _pointed(body, name) if place == "body" else arguments.get(name)
    # A variable or a pool may be called `~`.
    unspecific = (None, "") if rule["resource"] in _NAMED else (None, "", ANY)
    return None if value in unspecific else str(value)


def is_about_body(rule: Rule) -> bool:
    """Tell whether a rule about a form can be asked only when the form was read."""
    return str(rule.get("id_from")).startswith("body.")


def _asked(rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules that are asked before the service runs."""
    return [rule for rule in rules if not ("when" in rule and rule.get("id_from") == FOUND)]


def _is_possible(rule: Rule, permissions: Permissions) -> bool:
    """Tell whether the rule may hold for an object; only a certain no is False."""
    resource, method = rule["resource"], rule["method"]
    if resource == "dag":
        if permissions.may_dag(None, method, rule.get("access_entity")):
            return True
        # SimpleAuthManager knows roles alone. Elsewhere, a caller who can read no DAG can do nothing with one.
        readable = permissions.dag_scope("GET")
        return not auth_manager.is_simple() and (readable.everything or bool(readable.dag_ids))
    if resource in _NAMED:
        return not auth_manager.knows_no_single_dags() or permissions.may_named(resource, None, method)
    return resource != "power" or permissions.may_power(rule["power"])


def _denied(rule: Rule, caller: Caller) -> errors.Denied:
    return errors.Denied(
        f"The user '{caller.name}' may not do this ({rule['method']} on {rule['resource']}s)."
    )


def _ask(rule: Rule, permissions: Permissions, found: str | None, body: Any) -> None:
    resource = rule["resource"]
    if resource == "dag":
        permissions.require_dag(found, rule["method"], rule.get("access_entity"))
    elif resource == "view":
        permissions.require_view(rule["access_entity"])
    elif resource in _NAMED:
        permissions.require_named(resource, found, rule["method"], _pointed(body, "team_name"))
    elif resource != "power":
        raise LookupError(f"x-airflow-access names an unknown resource: {resource}")


def _pointed(body: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _has_teams() -> bool:
    return bool(conf.getboolean("core", "multi_team", fallback=False))


def _team(dag_id: str | None) -> str | None:
    return None if dag_id is None or not _has_teams() else DagModel.get_team_name(dag_id)


def _teams(named: _Named, object_id: str | None, method: str, wanted: str | None) -> set[str | None]:
    """Return the teams to be asked about, as Airflow's own routes do (`_collect_teams_to_check`)."""
    if not _has_teams():
        return {None}
    present = {named.team_of(object_id) if object_id else None} if method != "POST" else set()
    return present | ({wanted} if method in ("POST", "PUT") else set())
