"""How long failed logins take, by whose they are; in a process of its own, for the auth manager of its environment.

`python -m tests.security.login_times PAIRS [broken]` prints one line of JSON: seconds of each login with the name of
a user and with a name that nobody has, in turn; the refusals that were told; and how many passwords were hashed.
With `broken` nothing is done for unknown names: what a service does that has not thought of it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from tests.security import fab

Login = Callable[[str], None]
NAMES = {"fab": ("fab_viewer", "fab_nobody"), "simple": ("viewer", "nobody")}
CHEAP = "pbkdf2:sha256:1$salt$00"


def measure(pairs: int, *, broken: bool) -> dict[str, Any]:
    """Log in that many times with each name, with the limits wide open."""
    from airflow_rest_api.security import auth_manager
    from tests.security import issuers

    auth_manager.start(standalone=True)
    if auth_manager.is_fab():
        fab.prepare()
        fab.make_users(auth_manager._fab_application(auth_manager.manager()))
    names = NAMES["fab" if auth_manager.is_fab() else "simple"]
    told: dict[str, Any] = {"known": [], "unknown": [], "answers": [], "hashes": []}
    with ExitStack() as stack:
        stack.enter_context(wide_open())
        if broken:
            stack.enter_context(without_decoy())
        sessions = issuers.sessions()
        for name in names:
            hashed, answer = observed(sessions, name)
            told["hashes"].append(hashed)
            told["answers"].append(answer)
        gc.disable()
        for _ in range(pairs):
            for kind, name in zip(("known", "unknown"), names, strict=True):
                told[kind].append(seconds(sessions, name))
    return told


def seconds(sessions: Any, username: str) -> float:
    begin = time.perf_counter()
    refused(sessions, username)
    return time.perf_counter() - begin


def refused(sessions: Any, username: str) -> list[str]:
    """Fail to log in; answer what is told."""
    from airflow_rest_api.security.auth_manager import LoginFailed

    try:
        sessions.login(username, "wrong-password", "db", refresh=True, client="192.0.2.1")
    except LoginFailed as refusal:
        return [refusal.title, refusal.detail]
    raise RuntimeError("a wrong password was let in")


def observed(sessions: Any, username: str) -> tuple[int, list[str]]:
    """Fail to log in; answer how many passwords Flask-AppBuilder and we hashed, and what is told."""
    from airflow.providers.fab.auth_manager.security_manager import override
    from werkzeug.security import check_password_hash

    from airflow_rest_api.security import fab_decoy

    counting = mock.Mock(side_effect=check_password_hash)
    with (
        mock.patch.object(override, "check_password_hash", counting),
        mock.patch.object(fab_decoy, "check_password_hash", counting),
    ):
        answer = refused(sessions, username)
    return counting.call_count, answer


@contextmanager
def wide_open() -> Iterator[None]:
    """Let any number of logins fail; they are counted as always."""
    from airflow_rest_api.security import login_limits

    endless = login_limits.Limit(free=10**9, most=10**9)
    with mock.patch.multiple(login_limits, NAME=endless, NETWORK=endless, ACCOUNT=endless):
        yield


@contextmanager
def without_decoy() -> Iterator[None]:
    """Do for unknown names no more than it takes to refuse them."""
    from airflow_rest_api.security import auth_manager, fab_decoy

    with ExitStack() as stack:
        for name in ("prepare", "complete"):
            stack.enter_context(mock.patch.object(fab_decoy, name))
        if auth_manager.is_fab():
            config = auth_manager._fab_application(auth_manager.manager()).config
            stack.enter_context(mock.patch.dict(config, {"AUTH_DB_FAKE_PASSWORD_HASH_CHECK": CHEAP}))
        else:
            stack.enter_context(mock.patch.object(auth_manager, "_simple_login", hasty_login))
        yield


def hasty_login(username: str, password: str) -> Any:
    """Refuse who is unknown at once, and hash the password of who is known."""
    from werkzeug.security import generate_password_hash

    from airflow_rest_api.security.auth_manager import LoginFailed

    if username in NAMES["simple"][:1]:
        generate_password_hash(password)
    raise LoginFailed


if __name__ == "__main__":
    found = measure(int(sys.argv[1]), broken="broken" in sys.argv)
    sys.stdout.write("\n" + json.dumps(found) + "\n")
