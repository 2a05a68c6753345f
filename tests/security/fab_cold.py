"""First logins in a process in which nothing has built Flask-AppBuilder's application yet.

`python -m tests.security.fab_cold` in the environment of a home of its own, of which it migrates the database; the
responses are one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.security import fab
from tests.support import postgres
from tests.web import small

NAME = "fab_cold"
LOGINS = {"new": "/rest_api/v1/security/login", "old": "/api/v1/security/login"}


def add_user() -> None:
    """Insert a user by SQL: Flask-AppBuilder's own functions would build its application."""
    from airflow.providers.fab.auth_manager.models import User
    from airflow.utils.session import create_session
    from sqlalchemy import insert
    from werkzeug.security import generate_password_hash

    names = dict.fromkeys(("username", "first_name", "last_name"), NAME)
    known = {"active": True, "email": "cold@example.com", "created_by_fk": None, "changed_by_fk": None}
    with create_session(scoped=False) as session:
        password = generate_password_hash(fab.PASSWORD, fab.METHOD)
        session.execute(insert(User.__table__).values(**names, **known, password=password))


@contextmanager
def database_away() -> Iterator[None]:
    """Let every statement fail like that of a connection which the database has closed."""
    from airflow import settings
    from sqlalchemy import event, exc

    def fail(_: Any, __: Any, statement: str, *___: Any) -> None:
        raise exc.OperationalError(statement, {}, Exception("the server closed the connection"))

    event.listen(settings.engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(settings.engine, "before_cursor_execute", fail)


def observe() -> dict[str, Any]:
    """Log in and call an operation, with the database and without."""
    from airflow_rest_api.web import server

    with small.serving(server.create()) as (host, port):
        client = httpx.Client(base_url=f"http://{host}:{port}", timeout=60)
        with database_away():
            found = {"cold, away": logins(client)}
        found["cold"] = logins(client)
        token = client.post(LOGINS["new"], json=credentials()).json()["access_token"]
        with database_away():
            found["away"] = [*logins(client), *calls(client, token), *calls(client, forged(token))]
        found["again"] = [*logins(client), *calls(client, token)]
    return found


def logins(client: httpx.Client) -> list[Any]:
    """Log in at both addresses."""
    return [told(client.post(address, json=credentials())) for address in LOGINS.values()]


def calls(client: httpx.Client, token: str) -> list[Any]:
    """Make calls for which the auth manager is asked for the user and for permissions."""
    headers = {"Authorization": f"Bearer {token}"}
    return [
        told(client.get(address, headers=headers))
        for address in ("/rest_api/v1/dags", "/rest_api/v1/security/me")
    ]


def forged(token: str) -> str:
    """A token of the same user that this process has not seen yet, and that Airflow issued."""
    from airflow_rest_api.security import auth_manager

    assert token
    return auth_manager.manager()._get_token_signer().generate({"sub": "1"})


def told(answer: httpx.Response) -> list[Any]:
    """Return the status, the media type and when to try again."""
    media_type = answer.headers.get("content-type", "").rpartition("/")[2]
    return [answer.status_code, media_type, answer.headers.get("retry-after")]


def credentials() -> dict[str, str]:
    """Return what a client sends to log in."""
    return {"username": NAME, "password": fab.PASSWORD}


if __name__ == "__main__":
    fab.prepare()
    add_user()
    observed = observe()
    postgres.let_counts_be_written()
    sys.stdout.write("\n" + json.dumps(observed) + "\n")
