"""Flask-AppBuilder's users, in a process of their own: the auth manager of a process cannot be exchanged.

`python -m tests.security.fab` in the environment of a home of its own, of which it migrates the database; what it
found is one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any
from unittest import mock

from tests.support import forged_tokens

PASSWORD = "fab-password"
FAKE = "AUTH_DB_FAKE_PASSWORD_HASH_CHECK"
# Not Flask-AppBuilder's default, as where an administrator has chosen one.
METHOD = "pbkdf2:sha256:1000"
USERS = {
    "fab_admin": "Admin",
    "fab_viewer": "Viewer",
    "fab_gone": "Admin",
    "fab_one_dag": "OneDag",
    "fab_leaving": "Op",
}


def prepare() -> None:
    """Migrate Flask-AppBuilder's tables."""
    from airflow.providers.fab.auth_manager.models.db import FABDBManager
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        FABDBManager(session).initdb()


def make_users(flask_app: Any) -> None:
    """Make one user of each role; one of them is inactive, one may read a single DAG, and one has no password."""
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
        security.add_user("fab_federated", "f", "Test", "f@example.com", security.find_role("Viewer"))
        federated = security.find_user("fab_federated")
        federated.password = None
        security.update_user(federated)


def work_of(username: str) -> list[int]:
    """Fail to log in; answer how many passwords were hashed, and how many changes of a user were written."""
    from airflow import settings
    from airflow.providers.fab.auth_manager.security_manager import override
    from sqlalchemy import event
    from werkzeug.security import check_password_hash

    from airflow_rest_api.security import auth_manager, fab_decoy

    hashing = mock.Mock(side_effect=check_password_hash)
    written = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        written.extend([statement] if statement.startswith("UPDATE ab_user") else [])

    event.listen(settings.engine, "before_cursor_execute", note)
    with (
        mock.patch.object(override, "check_password_hash", hashing),
        mock.patch.object(fab_decoy, "check_password_hash", hashing),
        suppress(auth_manager.LoginFailed),
    ):
        auth_manager.log_in(username, "wrong", "db")
    event.remove(settings.engine, "before_cursor_execute", note)
    return [hashing.call_count, len(written)]


def two_names(client: Any) -> list[int]:
    """Guess the password of one user under both names, with two guesses allowed; answer the statuses."""
    from airflow_rest_api.security import login_limits

    two = login_limits.Limit(free=2, most=2)
    guesses = {"fab_viewer": "wrong", "FAB_VIEWER@example.com": "wrong", "fab_viewer@example.com": "wrong"}
    with mock.patch.object(login_limits, "ACCOUNT", two):
        tried = [*guesses.items(), ("Fab_Viewer", PASSWORD), ("fab_admin", PASSWORD)]
        return [
            client.post("security/login", json={"username": name, "password": password}).status_code
            for name, password in tried
        ]


def taken_away(client: Any, flask_app: Any, tokens: dict[str, str]) -> dict[str, Any]:
    """Take the role from a user, then deactivate them; tell after how many seconds each token is refused."""
    refused: dict[str, Any] = {}

    def status(token: str) -> int:
        return int(client.get("dags", headers={"Authorization": f"Bearer {token}"}).status_code)

    def wait_for(expected: int) -> dict[str, float]:
        begin, seconds = time.monotonic(), {}
        while len(seconds) < len(tokens) and time.monotonic() - begin < 15:
            for kind, token in tokens.items():
                if kind not in seconds and status(token) == expected:
                    seconds[kind] = time.monotonic() - begin
            time.sleep(0.1)
        return seconds

    refused["before"] = [status(token) for token in tokens.values()]
    with flask_app.app_context():
        security = flask_app.appbuilder.sm
        user = security.find_user("fab_leaving")
        user.roles = [security.add_role("Nothing")]
        security.update_user(user)
    refused["role"] = wait_for(403)
    with flask_app.app_context():
        user = flask_app.appbuilder.sm.find_user("fab_leaving")
        user.active = False
        flask_app.appbuilder.sm.update_user(user)
    refused["user"] = wait_for(401)
    return refused


def old_login(client: Any, tokens: dict[str, Any]) -> list[Any]:
    """Log in at the old address, and renew what an active and an inactive user have; answer statuses and bodies."""
    place = "http://test/api/v1/security"
    sent = {"username": "fab_viewer", "password": PASSWORD, "refresh": True}
    logins = [client.post(f"{place}/login", json={**sent, "provider": name}) for name in ("db", "ldap", "x")]
    one, gone = logins[0].json(), tokens["fab_leaving"]
    renewals = [
        client.post(f"{place}/refresh", headers={"Authorization": f"Bearer {token['refresh_token']}"})
        for token in (one, one, gone)
    ]
    return [
        [answer.status_code, sorted(answer.json()) if answer.status_code == 200 else answer.json()]
        for answer in (*logins, *renewals)
    ]


def observe() -> dict[str, Any]:
    """Start the application and call it as these users."""
    from starlette.testclient import TestClient

    from airflow_rest_api.security import auth_manager, fab_decoy
    from airflow_rest_api.web.app import create_application

    client = TestClient(
        create_application(), raise_server_exceptions=False, base_url="http://test/rest_api/v1/"
    )
    flask_app = auth_manager._fab_application(auth_manager.manager())
    found: dict[str, Any] = {"method before": flask_app.config[FAKE].partition("$")[0]}
    auth_manager.fab_account("anybody")
    with flask_app.app_context():
        fab_decoy.prepare(auth_manager.manager().security_manager)
    found["method without users"] = flask_app.config[FAKE].partition("$")[0]
    flask_app.config["FAB_PASSWORD_HASH_METHOD"] = METHOD
    make_users(flask_app)
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
    found["forged"] = forged_tokens.statuses(client)
    found["names"] = [bool(auth_manager.user_by_name(name)) for name in ("fab_admin", "fab_gone", "ghost")]
    leaving = auth_manager.manager().generate_jwt(auth_manager.user_by_name("fab_leaving"))
    both = {"ours": tokens["fab_leaving"]["access_token"], "airflow's": leaving}
    found["taken away"] = taken_away(client, flask_app, both)
    found["old login"] = old_login(client, tokens)
    found["method"] = flask_app.config[FAKE].partition("$")[0]
    unusual = ("fab_viewer", "fab_viewer@example.com", "nobody", "fab_gone", "fab_federated")
    found["work"] = {name: work_of(name) for name in unusual}
    found["two names"] = two_names(client)
    return found


if __name__ == "__main__":
    from tests.support import postgres

    prepare()
    observed = observe()
    # What was counted is written a moment later, and told on the standard output when it cannot be.
    postgres.let_counts_be_written()
    sys.stdout.write("\n" + json.dumps(observed) + "\n")
