"""Powers under Flask-AppBuilder, in a process of their own: `python -m tests.security.fab_powers STEP`.

What it found is one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

RESOURCES = tuple(f"REST API {name}" for name in ("Deploy", "Files", "Components", "Test", "Reveal"))
ROLES = ("Admin", "Op", "Deployer")


def start() -> Any:
    """Start the service with one operation that takes the power to deploy; return the ASGI application."""
    import pytest

    from tests.web import small
    from tests.web.small import operation

    rule = {"resource": "power", "power": "deploy", "method": "PUT", "switch": "deploy_enabled"}
    paths = {
        "/deploy": {
            "post": operation("deploy_thing", security=[{"bearer": []}], **{"x-airflow-access": [rule]})
        }
    }
    with pytest.MonkeyPatch.context() as patch:
        return small.application(patch, paths, {"deploy_thing": small.empty}, deploy_enabled="True")


def flask_app() -> Any:
    """Flask-AppBuilder's application, which gives role Admin every permission when it is made."""
    from airflow_rest_api.security import auth_manager

    return auth_manager._fab_application(auth_manager.manager())


def make_users() -> None:
    """Make one user of each role."""
    with flask_app().app_context():
        security = flask_app().appbuilder.sm
        for name in ROLES:
            role = security.add_role(name)
            security.add_user(name, name, "Test", f"{name}@example.com", role, password="fab-password")


def seen() -> dict[str, Any]:
    """Start, and tell who holds what and what the service answers to whom."""
    from starlette.testclient import TestClient

    from airflow_rest_api.security import auth_manager, powers

    client = TestClient(start(), raise_server_exceptions=False, base_url="http://test/rest_api/v1/")
    statuses, held = {}, {}
    for name in ROLES:
        user = auth_manager.user_by_name(name)
        if user is not None:
            held[name] = [power for power in powers.RESOURCES if powers.granted(user, power)]
            token = auth_manager.manager().generate_jwt(user)
            answer = client.post("deploy", headers={"Authorization": f"Bearer {token}"})
            statuses[name] = [answer.status_code, answer.json().get("detail")]
    return {"statuses": statuses, "held": held, "rows": rows()}


def rows() -> list[list[Any]]:
    """Role, resource and action of each grant of a power, and whether the grant is the first start's own."""
    from airflow.providers.fab.auth_manager import models
    from airflow.utils.session import create_session
    from sqlalchemy import select

    grant = models.assoc_permission_role.c
    with create_session(scoped=False) as session:
        found = session.execute(
            select(models.Role.name, models.Resource.name, models.Action.name, grant.id)
            .join(models.Permission, models.Permission.id == grant.permission_view_id)
            .join(models.Action, models.Action.id == models.Permission.action_id)
            .join(models.Resource, models.Resource.id == models.Permission.resource_id)
            .join(models.Role, models.Role.id == grant.role_id)
            .where(models.Resource.name.in_(RESOURCES))
            .order_by(models.Role.name, models.Resource.name)
        ).all()
    return [[role, resource, action, mark < 0] for role, resource, action, mark in found]


def make() -> dict[str, Any]:
    """The first start of all, and one user of each role; a second and a third start then change nothing."""
    start()
    first = rows()
    make_users()
    return {"first": first, **seen()}


def change() -> dict[str, Any]:
    """Let an administrator take two powers from Admin, and give one of them to another role."""
    start()
    with flask_app().app_context():
        security = flask_app().appbuilder.sm
        admin = security.find_role("Admin")
        for resource in RESOURCES[:2]:
            security.remove_permission_from_role(admin, security.get_permission("can_edit", resource))
        deployer = security.find_role("Deployer")
        security.add_permission_to_role(deployer, security.get_permission("can_edit", RESOURCES[0]))
    return seen()


def synchronise() -> dict[str, Any]:
    """Do what `airflow sync-perm` does, then start again."""
    start()
    with flask_app().app_context():
        flask_app().appbuilder.sm.sync_roles()
    return seen()


def delete_permission() -> dict[str, Any]:
    """Delete one permission, and one whole resource, then start again."""
    start()
    with flask_app().app_context():
        security = flask_app().appbuilder.sm
        for name in RESOURCES[:2]:
            permission = security.get_permission("can_edit", name)
            for role in security.get_all_roles():
                security.remove_permission_from_role(role, permission)
            security.session.delete(permission)
            security.session.commit()
        security.session.delete(security.get_resource(RESOURCES[1]))
        security.session.commit()
    return seen()


def without_mark() -> dict[str, Any]:
    """The negative control: any grant of Admin's counts, so what was synchronised is back."""
    import pytest

    from airflow_rest_api.security import fab_grants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fab_grants, "is_held", lambda role_ids, resource: True)
        return seen()


def without_tables() -> dict[str, Any]:
    """Start where Flask-AppBuilder's tables are missing."""
    from airflow.providers.fab.auth_manager import models
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        models.metadata.drop_all(session.connection())
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    from airflow_rest_api.security import fab_grants

    fab_grants.log.addHandler(Listener())
    application = start()
    return {"started": application is not None, "told": told}


def life() -> dict[str, Any]:
    """The life of one installation, start after start."""
    steps = (make, change, synchronise, seen, without_mark, delete_permission)
    return {step.__name__: step() for step in steps}


def many() -> dict[str, Any]:
    """Make the rows in several threads, while another process does the same."""
    from airflow_rest_api.security import powers

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(powers.prepare) for _ in range(4)]:
            done.result()
    return {"rows": rows()}


STEPS = {step.__name__: step for step in (life, many, without_tables)}

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(STEPS[sys.argv[1]]()) + "\n")
