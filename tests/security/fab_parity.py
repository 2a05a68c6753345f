"""The tables of shared calls under Flask-AppBuilder: made to us and to `/api/v2`, as users of its roles.

`python -m tests.security.fab_parity NOUN...`, in a home of its own; what came of each table, by the role that made its
calls, is one line of JSON on the standard output.
"""

from __future__ import annotations

import importlib
import json
import sqlite3
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support import bulk, clients, shared_calls, shared_calls_of
from tests.support.clients import Client
from tests.support.shared_calls import SharedCall

# The users of the tables, as roles of Flask-AppBuilder.
ROLES = {"admin": "Admin", "op": "Op", "user": "User", "viewer": "Viewer", "nobody": "Nothing"}
# Who may do some of it: nothing is made or deleted, and of DAGs one is seen.
CUSTOM = "Keeper"
CUSTOM_PERMISSIONS = (
    *(
        (action, noun)
        for action in ("can_read", "can_edit")
        for noun in ("Variables", "Connections", "Pools")
    ),
    *((action, noun) for action in ("can_read", "can_create") for noun in ("DAG Runs", "Backfills")),
    *((action, "DAG:etl") for action in ("can_read", "can_edit")),
)


def table(noun: str) -> Any:
    """The module with the calls of a noun, and with `normalise` where it has differences of its own."""
    return importlib.import_module(f"{shared_calls_of.__name__}.{noun}")


def make_users() -> None:
    """Make a user for each role."""
    from airflow_rest_api.security import auth_manager

    flask_app = auth_manager._fab_application(auth_manager.manager())
    with flask_app.app_context():
        security = flask_app.appbuilder.sm
        security.sync_roles()
        security.add_role(ROLES["nobody"])
        custom = security.add_role(CUSTOM)
        for action, resource in CUSTOM_PERMISSIONS:
            security.add_permission_to_role(custom, security.create_permission(action, resource))
        for role in (*ROLES.values(), CUSTOM):
            made = security.add_user(
                role, role, "Test", f"{role}@example.com", security.find_role(role), password="x"
            )
            assert made


def tokens(**others: str) -> Callable[[str], str]:
    """Tokens of Airflow's by the users of the tables, of which some are played by ``others``."""
    from airflow_rest_api.security import auth_manager

    cast, made = {**ROLES, **others}, {}
    for user, role in cast.items():
        made[user] = auth_manager.manager().generate_jwt(auth_manager.user_by_name(role))
    return made.__getitem__


def told(noun: str, services: Sequence[Client], callers: Container[str | None]) -> str:
    """What is not alike first of the calls of these callers, or nothing."""
    normalise = getattr(table(noun), "normalise", bulk.told)
    calls = (call for call in table(noun).CALLS if call.role in callers)
    faults = (difference(call, services, normalise) for call in calls)
    return next((fault for fault in faults if fault), "")


def difference(call: SharedCall, services: Sequence[Client], normalise: Callable[[Any], Any]) -> str:
    """What is not alike of one call, or nothing."""
    try:
        shared_calls.assert_alike([call], *services, normalise=normalise)
    except AssertionError as fault:
        # We read a body before we ask whose it is, and Airflow after that.
        return "" if "status 400 in place of 403" in str(fault) else str(fault)
    return ""


def observe(nouns: Iterable[str], rest: Any, v2: Any, restore: Callable[[], None]) -> dict[str, Any]:
    """Make all calls of each table as they are, then those of the admin as somebody who may do less."""
    from airflow_rest_api.security import access

    def played_by(role: str) -> tuple[Client, Client]:
        token = tokens(admin=role)
        return Client(rest, clients.REST, token), Client(v2, clients.V2, token)

    found: dict[str, Any] = {}
    for noun in nouns:
        found[f"{noun} Admin"] = told(noun, played_by("Admin"), {None, *ROLES})
        restore()
        found[f"{noun} {CUSTOM}"] = told(noun, played_by(CUSTOM), {"admin"})
        restore()
    # As if reading were all that there is to be asked.
    known = access.AirflowPermissions.may_named

    def reads(self: Any, noun: str, name: str | None, _: str, team: str | None = None) -> bool:
        return known(self, noun, name, "GET", team)

    with mock.patch.object(access.AirflowPermissions, "may_named", reads):
        found["broken"] = told("pool", played_by(CUSTOM), {"admin"})
    return {"calls": {noun: len(table(noun).CALLS) for noun in nouns}, **found}


def main() -> None:
    from airflow import settings
    from starlette.testclient import TestClient

    from tests.security.fab import prepare

    prepare()
    from airflow.api_fastapi.app import create_app

    from airflow_rest_api.web.app import create_application

    ours, theirs = create_application(), create_app(apps="core")
    make_users()
    database = Path(str(settings.engine.url.database))
    kept = database.with_suffix(".kept")

    def copy(source: Path, target: Path) -> None:
        with (
            closing(sqlite3.connect(source, timeout=30)) as one,
            closing(sqlite3.connect(target, timeout=30)) as other,
        ):
            one.backup(other)

    copy(database, kept)
    with (
        TestClient(ours, raise_server_exceptions=False) as our_http,
        TestClient(theirs, raise_server_exceptions=False) as their_http,
    ):
        found = observe(sys.argv[1:], our_http, their_http, lambda: copy(kept, database))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
