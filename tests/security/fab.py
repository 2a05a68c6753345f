"""Flask-AppBuilder's users, in a process of their own: the auth manager of a process cannot be exchanged.

`python -m tests.security.fab` in the environment of a home of its own, of which it migrates the database; what it
found is one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

PASSWORD = "fab-password"
USERS = {"fab_admin": "Admin", "fab_viewer": "Viewer", "fab_gone": "Admin", "fab_one_dag": "OneDag"}


def prepare() -> None:
    """Migrate Flask-AppBuilder's tables."""
    from airflow.providers.fab.auth_manager.models.db import FABDBManager
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        FABDBManager(session).initdb()


def make_users(flask_app: Any) -> None:
    """Make one user of each role; one of them is inactive, one may read a single DAG."""
    with flask_app.app_context():
        security = flask_app.appbuilder.sm
        security.sync_roles()
        one = security.add_role("OneDag")
        security.add_permission_to_role(one, security.create_permission("can_read", "DAG:etl"))
        for name, role in USERS.items():
            made = security.add_user(
                name, name, "Test", f"{name}@example.com", security.find_role(role), password=PASSWORD
            )
            assert made
        gone = security.find_user("fab_gone")
        gone.active = False
        security.update_user(gone)


def observe() -> dict[str, Any]:
    """Start the application and call it as these users."""
    from starlette.testclient import TestClient

    from airflow_rest_api.security import auth_manager
    from airflow_rest_api.web.app import create_application

    client = TestClient(
        create_application(), raise_server_exceptions=False, base_url="http://test/rest_api/v1/"
    )
    make_users(auth_manager._fab_application(auth_manager.manager()))
    found: dict[str, Any] = {}
    tokens = {}
    for name in USERS:
        answer = client.post("security/login", json={"username": name, "password": PASSWORD, "refresh": True})
        found[f"login {name}"] = answer.status_code
        tokens[name] = answer.json()
    for name, password in {"fab_admin": "wrong", "ghost": "wrong", "": "x"}.items():
        answer = client.post("security/login", json={"username": name, "password": password})
        found[f"wrong {name}"] = [answer.status_code, answer.json()["detail"]]
    ldap = {"username": "fab_admin", "password": PASSWORD, "provider": "ldap"}
    found["ldap"] = client.post("security/login", json=ldap).status_code
    for name in ("fab_admin", "fab_viewer", "fab_one_dag"):
        headers = {"Authorization": f"Bearer {tokens[name]['access_token']}"}
        found[f"dags {name}"] = client.get("dags", headers=headers).json()["total_entries"]
        found[f"other {name}"] = client.get("dags/manual", headers=headers).status_code
        change = client.patch("dags/etl", json={"is_paused": False}, headers=headers)
        found[f"change {name}"] = change.status_code
        me = client.get("security/me", headers=headers).json()
        found[f"me {name}"] = [me["username"], me["auth_manager"], me["roles"], me["powers"]]
        reviews = [
            {"operation_id": "get_dag", "arguments": {"dag_id": dag_id}} for dag_id in ("etl", "manual")
        ]
        answer = client.post("security/accessReview", json={"reviews": reviews}, headers=headers).json()
        found[f"review {name}"] = [entry["allowed"] for entry in answer["reviews"]]
    renewed = client.post("security/refresh", json={"refresh_token": tokens["fab_viewer"]["refresh_token"]})
    found["refresh"] = renewed.status_code
    own = auth_manager.manager().generate_jwt(auth_manager.user_by_name("fab_viewer"))
    found["airflow"] = client.get("dags", headers={"Authorization": f"Bearer {own}"}).status_code
    found["header"] = client.get("dags", headers={"rest-api-plugin-http-token": "ci-token"}).status_code
    found["names"] = [bool(auth_manager.user_by_name(name)) for name in ("fab_admin", "fab_gone", "ghost")]
    return found


if __name__ == "__main__":
    prepare()
    sys.stdout.write("\n" + json.dumps(observe()) + "\n")
