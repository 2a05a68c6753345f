"""Airflow's auth manager: how users log in with the managers we know, and how their tokens name them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from datetime import datetime, timezone
from functools import partial
from typing import Any, NoReturn, TypeVar

import jwt
from airflow.api_fastapi.app import (
    create_auth_manager,
    get_auth_manager,
    get_auth_manager_cls,
    init_auth_manager,
)
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from airflow.models.revoked_token import RevokedToken
from airflow.utils.session import create_session

from airflow_rest_api.security import fab_decoy
from airflow_rest_api.services import database, errors
from airflow_rest_api.services.token_refusals import TokenExpired, TokenInvalid, UserGone
from airflow_rest_api.settings import SettingsError

Answer = TypeVar("Answer")

# Two first logins at once would each make an application.
_FAB_LOCK = threading.Lock()
_FAB_CLASS = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


class LoginNotSupported(errors.Denied):
    """The configured auth manager has a login of its own, which this service cannot stand in for."""

    title = "Login is not supported"


class NotRevocable(errors.Conflict):
    """The token has no id under which it could be revoked."""

    title = "The token cannot be revoked"

    def __init__(self) -> None:
        super().__init__("The token has no id (`jti`), so it is good until it expires.")


class LoginFailed(errors.Unauthenticated):
    """The name or the password is wrong; which of them is not told."""

    title = "Login failed"

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")


def start(*, standalone: bool) -> None:
    """Make the auth manager ready: standalone it is ours to initialise, in Airflow's API server it is there.

    Raises `SettingsError` when what is configured cannot be imported.
    """
    try:
        get_auth_manager_cls()
    except (AirflowConfigException, ImportError):
        raise SettingsError(["[core] auth_manager: the class cannot be imported"]) from None
    if standalone:
        init_auth_manager()
    elif create_auth_manager() is not get_auth_manager():
        raise RuntimeError("Airflow's auth manager changed after it was initialised")


def ask(question: Callable[..., Answer], **details: Any) -> Answer:
    """Call the auth manager outside of our own Flask request. Raises `DatabaseUnavailable`.

    Flask-AppBuilder looks for the current Flask application and its session, and would take ours for its own.
    """
    with database.failures_translated():
        return Context().run(partial(question, **details))


def manager() -> BaseAuthManager[Any]:
    """Return the configured auth manager."""
    return get_auth_manager()


def is_fab() -> bool:
    """Tell whether Flask-AppBuilder's auth manager is configured."""
    return _is_fab(type(manager()))


def is_fab_configured() -> bool:
    """Tell the same as `is_fab`, also where no auth manager was started."""
    return _is_fab(get_auth_manager_cls())


def _is_fab(kind: type) -> bool:
    return any(base.__name__ == "FabAuthManager" for base in kind.__mro__)


def is_simple() -> bool:
    """Tell whether Airflow's SimpleAuthManager is configured."""
    return isinstance(manager(), SimpleAuthManager)


def knows_no_single_dags() -> bool:
    """Tell whether a permission that holds for a DAG unknown to the manager holds for every DAG.

    True of Airflow's SimpleAuthManager without teams, and of Flask-AppBuilder's, which only ever adds permissions
    for single DAGs; what a class derived from them does, nobody knows.
    """
    if conf.getboolean("core", "multi_team", fallback=False):
        return False
    kind = type(manager())
    return kind is SimpleAuthManager or f"{kind.__module__}.{kind.__name__}" == _FAB_CLASS


def log_in(username: str, password: str, provider: str) -> Any:
    """Return the user with this name and password; raises `LoginFailed` or `LoginNotSupported`."""
    if is_simple():
        return _simple_login(username, password)
    if is_fab():
        return _fab_login(username, password, provider)
    raise LoginNotSupported(
        f"The auth manager '{name()}' has its own login: use its token as the bearer token."
    )


def _simple_login(username: str, password: str) -> Any:
    if conf.getboolean("core", "simple_auth_manager_all_admins"):
        return SimpleAuthManagerUser(username="Anonymous", role="ADMIN")
    known = {user.username: user for user in SimpleAuthManager.get_users()}
    passwords = SimpleAuthManager.get_passwords()
    user, expected = known.get(username), passwords.get(username, "")
    # Compared in any case, and as digests: a name that does not exist takes as long as one that does.
    matches = hmac.compare_digest(_digest(expected), _digest(password))
    if user is None or not expected or not matches:
        raise LoginFailed
    return user


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()


def _fab_login(username: str, password: str, provider: str) -> Any:
    fab: Any = manager()
    if provider == "ldap" and not fab_has_ldap():
        raise LoginNotSupported("The provider 'ldap' is not configured in Flask-AppBuilder.")
    credentials = {"username": username, "password": password}
    user = ask(_fab_user_of, fab=fab, credentials=credentials)
    if user is None:
        raise LoginFailed
    return user


def _fab_user_of(fab: Any, credentials: dict[str, str]) -> Any | None:
    with _fab_context(fab) as security:
        fab_decoy.prepare(security)
        user = fab.create_token(headers={}, body=credentials)
        if user is None:
            fab_decoy.complete(security, credentials["username"])
        return user


def refuse(username: str) -> NoReturn:
    """Raise `LoginFailed` as `log_in` does for a wrong password, and as late, without a look at any."""
    if is_fab():
        ask(_fab_refusal, fab=manager(), username=username)
    raise LoginFailed


def _fab_refusal(fab: Any, username: str) -> None:
    with _fab_context(fab) as security:
        user = fab_decoy.user_of(security, username)
        fab_decoy.hash_once()
        fab_decoy.write_once(security, None if user is None else user.id)


def fab_account(username: str) -> str | None:
    """Return the id of the user whom Flask-AppBuilder finds by this name or e-mail address, active or not."""
    return ask(_fab_account, fab=manager(), username=username)


def _fab_account(fab: Any, username: str) -> str | None:
    with _fab_context(fab) as security:
        user = fab_decoy.user_of(security, username)
        return None if user is None else str(user.id)


def fab_has_ldap() -> bool:
    """Tell whether Flask-AppBuilder asks a directory for passwords."""
    return ask(_fab_has_ldap, fab=manager())


@contextmanager
def _fab_context(fab: Any) -> Iterator[Any]:
    """Be in the context of Flask-AppBuilder's application; give its security manager."""
    with _fab_application(fab).app_context():
        try:
            yield fab.security_manager
        finally:
            fab.session.remove()


def _fab_has_ldap(fab: Any) -> bool:
    from flask_appbuilder.const import AUTH_LDAP

    with _fab_application(fab).app_context():
        return bool(fab.security_manager.auth_type == AUTH_LDAP)


def _fab_application(fab: Any) -> Any:
    """Return Flask-AppBuilder's Flask application. Airflow's API server has built it; standalone the first call does.

    Flask-AppBuilder must not find our application here, so this is called through `ask`.
    """
    with _FAB_LOCK:
        if getattr(fab, "flask_app", None) is None:
            from airflow.providers.fab.www.app import create_app

            fab.flask_app = create_app(enable_plugins=False)
        return fab.flask_app


def name() -> str:
    """Return the name of the configured auth manager's class."""
    return type(manager()).__name__


def roles_of(user: Any) -> list[str]:
    """Return the names of a user's roles, where the manager has roles that we know."""
    if is_simple():
        return [user.role] if user.role else []
    return sorted(role.name for role in user.roles) if is_fab() else []


def role_ids_of(user: Any) -> list[int]:
    """Return the ids of the roles of one of Flask-AppBuilder's users."""
    return [role.id for role in user.roles]


def claims_of(user: Any) -> dict[str, Any]:
    """Return the claims from which `user_from_claims` makes this user again."""
    return dict(manager().serialize_user(user))


def user_from_claims(claims: Mapping[str, Any]) -> Any:
    """Return the user whom the claims name, as it is now; raises `Unauthenticated` when it is gone or inactive."""
    _forget_user(claims.get("sub"))
    try:
        user = ask(manager().deserialize_user, token=dict(claims))
    except (ValueError, KeyError):
        raise UserGone(claims.get("sub")) from None
    if is_simple():
        return _current_simple_user(user)
    return user


def _current_simple_user(user: SimpleAuthManagerUser) -> Any:
    """Take the role from the configuration: a token that carries it would outlive its change."""
    if conf.getboolean("core", "simple_auth_manager_all_admins"):
        return user
    for known in SimpleAuthManager.get_users():
        if known.username == user.username:
            return known
    raise UserGone(user.username)


def knows_users() -> bool:
    """Tell whether users can be looked up by name: not with an auth manager that we do not know."""
    return is_simple() or is_fab()


def user_by_name(username: str) -> Any | None:
    """Return the active user with this name, None when there is none, or the manager cannot look users up."""
    if is_simple():
        return next((user for user in SimpleAuthManager.get_users() if user.username == username), None)
    if is_fab():
        return _fab_user(username)
    return None


def _fab_user(username: str) -> Any | None:
    from airflow.providers.fab.auth_manager.models import User
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        user_id = session.scalar(select(User.id).where(User.username == username, User.active.is_(True)))
    if user_id is None:
        return None
    _forget_user(user_id)
    return manager().deserialize_user({"sub": str(user_id)})


def _forget_user(user_id: Any) -> None:
    """Let Flask-AppBuilder's manager read this user anew: it remembers users for `[fab] cache_ttl`, half a minute.

    A role that was taken away, or a user who was deactivated, must not go on for that long. The id may come from a
    token that is not verified yet, so it can be any JSON value.
    """
    remembered = getattr(manager(), "cache", None)
    if not is_fab() or remembered is None:
        return
    # KeyError: another thread has removed the user at the same time.
    with suppress(KeyError, OverflowError, TypeError, ValueError):
        remembered.pop(int(user_id), None)


def user_from_airflow_token(token: str) -> Any:
    """Return the user of a token that Airflow itself issued; raises `Unauthenticated`.

    To be called in a thread without an event loop: Airflow checks tokens in a coroutine that blocks on the database.
    """
    _forget_user(_unverified(token).get("sub"))
    try:
        return asyncio.run(manager().get_user_from_token(token))
    except jwt.ExpiredSignatureError:
        raise TokenExpired from None
    except jwt.InvalidTokenError:
        raise TokenInvalid from None


def expiry_of(token: str) -> datetime | None:
    """Return when a token expires that `user_from_airflow_token` has accepted, None for never."""
    expires = _unverified(token).get("exp")
    return None if expires is None else datetime.fromtimestamp(expires, timezone.utc)


def revoke(token: str) -> None:
    """End a token that Airflow issued, and that `user_from_airflow_token` has accepted, for both services.

    Airflow's manager catches whatever goes wrong and only warns, so the result is looked at. Raises
    `NotRevocable` and `DatabaseUnavailable`.
    """
    token_id = _unverified(token).get("jti")
    if not token_id:
        raise NotRevocable
    manager().revoke_token(token)
    if not RevokedToken.is_revoked(token_id):
        raise errors.DatabaseUnavailable


def _unverified(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims
