"""The matrix of permissions: every shared operation, called as everybody on everything, by us and by `/api/v2`.

`python -m tests.security.matrix MANAGER all|one [FAULT]`, in a home of its own; the cells that differ are one line of
JSON on its standard output. With a FAULT one check of ours is broken, which has to show.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

from tests.support import calls, clients
from tests.support.clients import Client

OWN, FOREIGN, MISSING = "example_bash_operator", "manual", "no_such_dag"
OBJECTS = {"own": OWN, "foreign": FOREIGN, "missing": MISSING}
# Of Flask-AppBuilder; the SimpleAuthManager knows the first four.
ROLES = ("Viewer", "User", "Op", "Admin", "OneDag")
NOBODY_KNOWS = ("anonymous", "bad", "expired")
REFUSED = (401, 403)


@dataclass(frozen=True)
class Cell:
    """One call of one operation by one caller, and how both services answered."""

    operation_id: str
    caller: str
    target: str
    ours: int
    theirs: int

    @property
    def agrees(self) -> bool:
        """Whether both refuse the caller, or neither does."""
        return (self.ours in REFUSED) == (self.theirs in REFUSED)


def shared(document: Any, theirs: dict[str, Any]) -> list[Any]:
    """Our operations that `/api/v2` has, at the same address with the same method."""
    from airflow_rest_api.web import contract

    known = {
        (method.upper(), path.removeprefix(clients.V2))
        for path, item in theirs["paths"].items()
        for method in item
    }
    return [one for one in contract.operations(document) if (one.method, one.path) in known]


def cells(ours: Client, theirs: Client, headers: dict[str, Any], *, every: bool) -> Iterator[Cell]:
    """Call everything as everybody; with `every` unset, the objects take turns from one operation to the next."""
    from airflow_rest_api.web import contract

    document = contract.load()
    operations = shared(document, theirs.http.get("/openapi.json").json())
    # What is deleted is missing from then on.
    operations.sort(key=lambda one: one.operation_id == "delete_dag")
    for number, operation in enumerate(operations):
        targets = list(OBJECTS) if every else [list(OBJECTS)[number % len(OBJECTS)]]
        for caller, credential in headers.items():
            for target in targets:
                call = aimed(calls.plainest(document, operation), OBJECTS[target])
                answers = [
                    service.request(
                        operation.method, call.path, role=None, headers=credential, **call.options()
                    )
                    for service in (theirs, ours)
                ]
                theirs_answer, ours_answer = answers
                expected = (400, 422, *REFUSED)
                assert ours_answer.status_code not in (400, 422) or theirs_answer.status_code in expected, (
                    operation.operation_id,
                    ours_answer.text,
                )
                yield Cell(
                    operation.operation_id, caller, target, ours_answer.status_code, theirs_answer.status_code
                )


def refused_by_ours_alone(
    ours: Client, headers: dict[str, Any], shared_ids: set[str]
) -> dict[str, list[str]]:
    """Of our operations that `/api/v2` has not: which callers are refused, and on what (`Viewer foreign`)."""
    from airflow_rest_api.web import contract

    document = contract.load()
    own = [one for one in contract.operations(document) if one.operation_id not in shared_ids]
    found: dict[str, list[str]] = {}
    # Whoever has logged out is refused everywhere.
    for operation in sorted(own, key=lambda one: one.operation_id == "logout"):
        found[operation.operation_id] = []
        for caller, credential in headers.items():
            for target, dag_id in OBJECTS.items():
                call = aimed(calls.plainest(document, operation), dag_id)
                answer = ours.request(
                    operation.method, call.path, role=None, headers=credential, **call.options()
                )
                if answer.status_code in REFUSED:
                    found[operation.operation_id].append(f"{caller} {target}")
                if operation.operation_id == "logout":
                    break
    return found


def aimed(call: calls.Call, dag_id: str) -> calls.Call:
    """The call about another DAG than the examples', wherever it is named; lists are asked for this DAG's part."""
    body = json.loads(json.dumps(call.json).replace(OWN, dag_id)) if call.json is not None else None
    params = dict(call.params)
    if call.operation.operation_id in ("get_event_logs", "list_backfills"):
        params["dag_id"] = dag_id
    path = call.path.replace(OWN, dag_id)
    return replace(call, path=path, params=params, json=body)


def expired() -> str:
    """A token of Airflow's that was good five minutes ago."""
    import os

    import jwt

    from airflow_rest_api.security import auth_manager

    manager = auth_manager.manager()
    user = auth_manager.user_by_name("Admin") or auth_manager.user_by_name("admin")
    claims = jwt.decode(manager.generate_jwt(user), options={"verify_signature": False})
    past = int((datetime.now(timezone.utc) - timedelta(minutes=5)).timestamp())
    return jwt.encode({**claims, "exp": past}, os.environ["AIRFLOW__API_AUTH__JWT_SECRET"], "HS512")


def credentials(manager: str) -> dict[str, dict[str, str]]:
    """The headers of every caller."""
    from airflow_rest_api.security import auth_manager

    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    roles = ROLES if manager == "fab" else tuple(role.lower() for role in ROLES[:4])
    users = {role: auth_manager.user_by_name(role) for role in roles}
    known = {role: bearer(auth_manager.manager().generate_jwt(user)) for role, user in users.items()}
    return {"anonymous": {}, "bad": bearer("not.a.token"), "expired": bearer(expired()), **known}


def make_users() -> None:
    """Make a user for each role; `OneDag` may do with one DAG what role User may with all."""
    from airflow_rest_api.security import auth_manager

    flask_app = auth_manager._fab_application(auth_manager.manager())
    with flask_app.app_context():
        security = flask_app.appbuilder.sm
        security.sync_roles()
        one = security.add_role("OneDag")
        for permission in security.find_role("User").permissions:
            if permission.resource.name != "DAGs":
                security.add_permission_to_role(one, permission)
        for action in ("can_read", "can_edit"):
            security.add_permission_to_role(one, security.create_permission(action, f"DAG:{OWN}"))
        for role in ROLES:
            security.add_user(
                role, role, "Test", f"{role}@example.com", security.find_role(role), password="x"
            )


def broken(fault: str) -> Any:
    """Break one check of ours."""
    from airflow_rest_api.security import access

    known = access.AirflowPermissions.may_dag
    faults = {
        "none": lambda self, dag_id, method, entity=None: known(self, dag_id, method, entity),
        # As if reading were all that there is.
        "reads": lambda self, dag_id, method, entity=None: known(self, dag_id, "GET", entity),
        # As if no DAG in particular were asked about.
        "no_dag": lambda self, dag_id, method, entity=None: known(self, None, method, entity),
        # As if nothing were asked about what belongs to a DAG.
        "no_entity": lambda self, dag_id, method, entity=None: known(self, dag_id, method, None),
        "nobody": lambda *_, **__: False,
    }
    return mock.patch.object(access.AirflowPermissions, "may_dag", faults[fault])


def main() -> None:
    from starlette.testclient import TestClient

    manager, extent, fault = [*sys.argv[1:], "none"][:3]
    if manager == "fab":
        from tests.security.fab import prepare

        prepare()
    from airflow.api_fastapi.app import create_app

    from airflow_rest_api.web.app import create_application

    ours, theirs = create_application(), create_app(apps="core")
    if manager == "fab":
        make_users()
    with (
        TestClient(ours, raise_server_exceptions=False) as our_http,
        TestClient(theirs, raise_server_exceptions=False) as their_http,
        broken(fault),
    ):
        headers = credentials(manager)
        our_client = Client(our_http, clients.REST, str)
        found = list(cells(our_client, Client(their_http, clients.V2, str), headers, every=extent == "all"))
        own = refused_by_ours_alone(our_client, headers, {cell.operation_id for cell in found})
    told = {
        "own": own,
        "cells": len(found),
        "operations": len({cell.operation_id for cell in found}),
        "refused": sum(cell.ours in REFUSED for cell in found),
        "differing": [vars(cell) for cell in found if not cell.agrees],
    }
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
