"""Logging in through Flask-AppBuilder's LDAP, in a process of its own with a directory beside it.

`python -m tests.security.ldap_logins` in a home whose `webserver_config.py` names the directory; what it found is
one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.security import fab

PEOPLE = {"alice": "alice-password", "bob": "bob-password"}
# What a client may send that must not let it in.
REFUSED = {
    "wrong password": ("alice", "wrong"),
    "another one's password": ("alice", "bob-password"),
    "nobody": ("nobody", "alice-password"),
    "any name": ("*", "alice-password"),
    "a filter": ("alice)(uid=*", "alice-password"),
    "a distinguished name": ("uid=alice,ou=people,dc=example,dc=org", "alice-password"),
    "a NUL as password": ("bob", "\0"),
    "no password": ("bob", ""),
}


def observe() -> dict[str, Any]:
    """Start the application and log in."""
    from starlette.testclient import TestClient

    from airflow_rest_api.security import auth_manager
    from airflow_rest_api.web.app import create_application

    client = TestClient(
        create_application(), raise_server_exceptions=False, base_url="http://test/rest_api/v1/"
    )
    fab.make_users(auth_manager._fab_application(auth_manager.manager()))

    def login(username: str, password: str, provider: str = "ldap") -> Any:
        body = {"username": username, "password": password, "provider": provider, "refresh": True}
        return client.post("security/login", json=body)

    found: dict[str, Any] = {"login": {}, "refused": {}}
    for name, password in PEOPLE.items():
        answer = login(name, password)
        found["login"][name] = answer.status_code
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        found[f"may read {name}"] = client.get("dags/etl", headers=headers).status_code
        found[f"may change {name}"] = client.patch(
            "dags/etl", json={"is_paused": False}, headers=headers
        ).status_code
        renewed = client.post("security/refresh", json={"refresh_token": answer.json()["refresh_token"]})
        found[f"refresh {name}"] = renewed.status_code
    for why, (name, password) in REFUSED.items():
        found["refused"][why] = login(name, password).status_code
    found["of the database"] = login("fab_viewer", fab.PASSWORD, "db").status_code
    found["inactive"] = login("fab_gone", fab.PASSWORD).status_code
    spellings = ["bob", "BOB", " bob", "bob ", "ｂｏｂ", "b\\6fb", "bób", "bob"]
    found["spellings"] = [login(name, "wrong").status_code for name in spellings]
    return found


if __name__ == "__main__":
    from tests.support import postgres

    fab.prepare()
    observed = observe()
    # What was counted is written a moment later, and told on the standard output when it cannot be.
    postgres.let_counts_be_written()
    sys.stdout.write("\n" + json.dumps(observed) + "\n")
