"""The fields of a connection: how they are shown, and how a caller's wishes become what is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.configuration import conf
from airflow.models.connection import sanitize_conn_id
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.connections.stored_connection import NotDecryptable, StoredConnection
from airflow_rest_api.services.named.named_errors import TeamsAreOff

Entry = dict[str, Any]

PLAIN = ("conn_type", "description", "host", "login", "schema", "port", "team_name")
# Deeper than any provider's extra, and shallow enough for everything that walks through it.
MAX_DEPTH = 64
_ID = re.compile(r"[\w.-]{1,200}")


class ConnectionIdNotAllowed(errors.Malformed):
    """Airflow would store the connection without an id."""

    title = "The id is not one for a connection"

    def __init__(self, connection_id: str) -> None:
        super().__init__(
            f"The connection id '{connection_id}' is not allowed:"
            " it is made of letters, digits, '_', '.' and '-', and has at most 200 of them.",
        )


class ExtraNotAnObject(errors.Malformed):
    """The extra is no JSON object."""

    title = "The extra is no JSON object"

    def __init__(self) -> None:
        super().__init__(
            "The 'extra' of a connection is the text of a JSON object,"
            f" with no more than {MAX_DEPTH} levels of nesting.",
        )


def entries(_session: Session, rows: Sequence[StoredConnection]) -> list[Entry]:
    """Return the connections as they are answered, their secrets masked."""
    passwords, extras = ([_in_clear(row, secret) for row in rows] for secret in ("password", "extra"))
    # Before anything is shown: an extra may repeat a password.
    masks.learn(password for password in passwords if password)
    shown = zip(rows, map(masks.password, passwords), map(masks.extra, extras), strict=True)
    return [entry(row, password=password, extra=extra) for row, password, extra in shown]


def entry(row: StoredConnection, *, password: str | None, extra: str | None) -> Entry:
    """Return a connection with this password and this extra."""
    return {
        "connection_id": row.conn_id,
        "conn_type": row.conn_type,
        "description": row.description,
        "host": row.host,
        "login": row.login,
        "schema": row.schema,
        "port": row.port,
        "password": password,
        "extra": extra,
        "team_name": row.team_name,
    }


def _in_clear(row: StoredConnection, secret: str) -> str | None:
    """Return what is stored, a mask where it cannot be decrypted."""
    try:
        text: str | None = getattr(row, secret)
    except NotDecryptable:
        return masks.MASK
    return text


def require_sound(body: Mapping[str, Any]) -> None:
    """Raise what can be said whatever is stored: `ConnectionIdNotAllowed`, `ExtraNotAnObject`, `TeamsAreOff`."""
    if "connection_id" in body:
        _require_id(body["connection_id"])
    if body.get("extra"):
        _require_object(body["extra"])
    if body.get("team_name") is not None and not conf.getboolean("core", "multi_team"):
        raise TeamsAreOff


def made(body: Mapping[str, Any]) -> StoredConnection:
    """Return a new connection; raises `ConnectionIdNotAllowed`, `MaskedValue` and `ExtraNotAnObject`."""
    _require_id(body["connection_id"])
    row = StoredConnection()
    row.conn_id = body["connection_id"]
    row.is_encrypted = row.is_extra_encrypted = False
    change(row, body)
    return row


def _require_id(connection_id: str) -> None:
    if not _ID.fullmatch(connection_id) or sanitize_conn_id(connection_id) != connection_id:
        raise ConnectionIdNotAllowed(connection_id)


def change(row: StoredConnection, fields: Mapping[str, Any]) -> None:
    """Set these fields of a connection; a mask stands for what is stored, a password that is null or empty is removed.

    Raises `MaskedValue` and `ExtraNotAnObject`.
    """
    for name in PLAIN:
        if name in fields:
            setattr(row, name, fields[name])
    if "password" in fields:
        _change_password(row, fields["password"])
    if "extra" in fields:
        _change_extra(row, fields["extra"])


def _change_password(row: StoredConnection, wish: str | None) -> None:
    # What is kept is not sealed anew: it may not be decryptable, and the connection's state stays the same.
    if wish == masks.MASK and row.stored_password:
        return
    if not wish or _known(row, "password") != wish:
        row.password = masks.kept_password(wish or None, None)


def _change_extra(row: StoredConnection, wish: str | None) -> None:
    if wish == masks.MASK:
        # Shown for an extra that is not JSON or cannot be decrypted, which stays as it is stored.
        _require_stored_extra(row)
        return
    # As in Airflow, an empty text is an empty object.
    text = "{}" if wish == "" else wish
    if text is not None:
        _require_object(text)
    old = _known(row, "extra")
    kept = masks.kept_extra(text, old, _known(row, "password"))
    if kept is None or kept != old:
        row.extra = kept


def _require_stored_extra(row: StoredConnection) -> None:
    if not row.stored_extra:
        raise masks.MaskedValue("The extra")


def _known(row: StoredConnection, secret: str) -> str | None:
    """Return what is stored, None where it cannot be decrypted: then no mask can stand for it."""
    try:
        text: str | None = getattr(row, secret)
    except NotDecryptable:
        return None
    return text


def _require_object(text: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # Without the fault behind it, which quotes the text.
        raise ExtraNotAnObject from None
    if not isinstance(value, dict) or _is_deeper(value, MAX_DEPTH):
        raise ExtraNotAnObject


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in inner)
