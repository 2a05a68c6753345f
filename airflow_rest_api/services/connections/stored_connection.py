"""Stored connections: the rows of Airflow's table with their secrets as they are stored, opened when they are needed.

Airflow's own model decrypts the password of each row that it loads, and fails on one that was stored under another
Fernet key: a single such row takes the whole list from `/api/v2` (500).
"""

from __future__ import annotations

from typing import Any

from airflow.models.connection import Connection
from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken
from sqlalchemy.orm import registry

_TABLE: Any = Connection.__table__


class NotDecryptable(Exception):
    """A secret was stored under a Fernet key that is not `[core] fernet_key` any more."""


class StoredConnection:
    """A row of Airflow's table; `stored_password` and `stored_extra` are encrypted where the flags beside say so."""

    id: Any
    conn_id: Any
    conn_type: Any
    description: Any
    host: Any
    login: Any
    schema: Any
    port: Any
    stored_password: Any
    is_encrypted: Any
    stored_extra: Any
    is_extra_encrypted: Any
    team_name: Any

    @property
    def password(self) -> str | None:
        """The password in clear; raises `NotDecryptable`."""
        return _opened(self.stored_password, self.is_encrypted)

    @password.setter
    def password(self, text: str | None) -> None:
        self.stored_password, self.is_encrypted = _sealed(text)

    @property
    def extra(self) -> str | None:
        """The extra in clear; raises `NotDecryptable`."""
        return _opened(self.stored_extra, self.is_extra_encrypted)

    @extra.setter
    def extra(self, text: str | None) -> None:
        self.stored_extra, self.is_extra_encrypted = _sealed(text)

    @property
    def state(self) -> tuple[Any, ...]:
        """All that callers can change, secrets as they are stored."""
        place = (
            self.conn_id,
            self.conn_type,
            self.description,
            self.host,
            self.login,
            self.schema,
            self.port,
        )
        password = (self.stored_password, bool(self.is_encrypted))
        return (*place, *password, self.stored_extra, bool(self.is_extra_encrypted), self.team_name)


registry().map_imperatively(
    StoredConnection,
    _TABLE,
    properties={"stored_password": _TABLE.c.password, "stored_extra": _TABLE.c.extra},
)


def _opened(stored: str | None, is_encrypted: bool) -> str | None:
    if not stored or not is_encrypted:
        return stored
    fernet = get_fernet()
    if not fernet.is_encrypted:
        raise NotDecryptable
    try:
        return fernet.decrypt(stored.encode()).decode()
    except InvalidToken as fault:
        raise NotDecryptable from fault


def _sealed(text: str | None) -> tuple[str | None, bool]:
    if not text:
        return None, False
    fernet = get_fernet()
    return fernet.encrypt(text.encode()).decode(), fernet.is_encrypted
