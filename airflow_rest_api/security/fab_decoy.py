"""The decoy: what makes a login fail as slowly for a name that nobody has as for one that somebody has.

Flask-AppBuilder (provider 3.10) hashes a password of its own choice for an unknown name, but always with its default
method; it hashes nothing for a user without a password; and it counts the failure of a user in the database, and no
other. All functions want to be called in the context of Flask-AppBuilder's application.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

from flask import current_app
from sqlalchemy import func, or_, select, update
from werkzeug.security import check_password_hash, generate_password_hash

_FAKE = "AUTH_DB_FAKE_PASSWORD_HASH_CHECK"
_ALIKE = "AIRFLOW_REST_API_FAKE_IS_ALIKE"


def user_of(security: Any, username: str) -> Any | None:
    """Return id, active and password of the user whom Flask-AppBuilder would check.

    That is the one with this name in any case, and if there is none or more than one, that with this e-mail address.
    One statement, whoever exists: its `find_user` takes two for an unknown name, and three for a known one.
    """
    model = security.user_model
    named = func.lower(model.username) == func.lower(username)
    columns = (model.id, model.active, model.password, named.label("named"))
    rows = security.session.execute(select(*columns).where(or_(named, model.email == username))).all()
    by_name = [row for row in rows if row.named]
    by_mail = [row for row in rows if not row.named]
    found = by_name if len(by_name) == 1 else by_mail
    return found[0] if len(found) == 1 else None


def prepare(security: Any) -> None:
    """Let the hash for unknown names be one of the method that most users' passwords were hashed with."""
    if current_app.config.get(_ALIKE):
        return
    model = security.user_model
    stored = security.session.scalars(select(model.password).where(model.active, model.password.is_not(None)))
    methods = Counter(password.partition("$")[0] for password in stored if "$" in password)
    for method, _ in methods.most_common(1):
        if method != str(current_app.config[_FAKE]).partition("$")[0]:
            current_app.config[_FAKE] = generate_password_hash(secrets.token_hex(16), method)
        current_app.config[_ALIKE] = True


def complete(security: Any, username: str) -> None:
    """Do what Flask-AppBuilder, having refused this name's password, has left out because of who the user is."""
    user = user_of(security, username)
    if user is not None and user.active and user.password:
        return
    if user is not None and user.active:
        hash_once()
    write_once(security, None if user is None else user.id)


def hash_once() -> None:
    """Hash a password that is nobody's."""
    check_password_hash(current_app.config[_FAKE], "password")


def write_once(security: Any, user_id: int | None) -> None:
    """Write what counting a failure writes, without a change: a value of the user, or the first one, onto itself."""
    session, model = security.session, security.user_model
    if user_id is None:
        # Flask-AppBuilder has not read any user yet.
        user = session.scalars(select(model).order_by(model.id).limit(1)).first()
        user_id = None if user is None else user.id
    same = {"fail_login_count": model.fail_login_count}
    session.execute(update(model).where(model.id == user_id).values(same))
    session.commit()
