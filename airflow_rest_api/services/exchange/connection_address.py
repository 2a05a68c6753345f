"""Connection addresses: connections as URIs, in Airflow's own form (`Connection.get_uri`).

Airflow's functions are called with a plain object in the place of a connection: one of its own would encrypt what it
is given and tell the masker of each password.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowException

EXTRA_KEY = Connection.EXTRA_KEY
_FIELDS = ("conn_type", "host", "login", "password", "schema", "port", "extra")


def written(fields: Mapping[str, Any]) -> str | None:
    """Return the URI of a connection, None where no URI says the same; a description has no place in it.

    It is the one that Airflow writes, unless that is read as something else: an extra of `{"port": "5432"}` would
    come back as a number, and `Host` as `host`.
    """
    return next((address for write in (_airflows, _careful) if (address := _faithful(write, fields))), None)


def _faithful(write: Callable[[Mapping[str, Any]], str], fields: Mapping[str, Any]) -> str | None:
    """Return the URI that ``write`` makes, if it is read as what was written."""
    with suppress(Unreadable):
        address = write(fields)
        if _comparable(read(address)) == _comparable(fields):
            return address
    return None


class Unreadable(ValueError):
    """A text is no URI of a connection; its message quotes nothing."""


def read(address: str) -> dict[str, Any]:
    """Return the fields that a URI names, without a description; raises `Unreadable`. What is empty is None."""
    plain = _Plain()
    try:
        Connection._parse_from_uri(plain, address)  # type: ignore[arg-type]
        fields = {name: getattr(plain, name) or None for name in _FIELDS}
    except (AirflowException, ValueError, RecursionError):
        # They may quote a part of the address.
        raise Unreadable("It is no URI of a connection.") from None
    return fields


class _Plain:
    """What Airflow's functions read and write of a connection."""

    EXTRA_KEY = Connection.EXTRA_KEY
    _normalize_conn_type = staticmethod(Connection._normalize_conn_type)
    _create_host = staticmethod(Connection._create_host)
    log = logging.Logger("unheard", level=logging.CRITICAL + 1)

    def __init__(self, **fields: Any) -> None:
        for name in _FIELDS:
            setattr(self, name, fields.get(name))

    @property
    def extra_dejson(self) -> Any:
        return json.loads(self.extra)  # type: ignore[attr-defined]


def _airflows(fields: Mapping[str, Any]) -> str:
    try:
        return Connection.get_uri(_Plain(**{name: fields[name] for name in _FIELDS}))  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise Unreadable("It has no URI.") from None


def _careful(fields: Mapping[str, Any]) -> str:
    """Write a URI that keeps capital letters of the host, and the extra as it is."""
    kind = fields["conn_type"].replace("_", "-")
    protocol, separator, host = (fields["host"] or "").rpartition("://")
    login = quote(fields["login"] or "", safe="")
    password = "" if fields["password"] is None else ":" + quote(fields["password"], safe="")
    port = f":{fields['port']}" if fields["port"] else ""
    person = f"{login}{password}@" if login or password or port else ""
    name = quote(host, safe="") if "/" in host else "".join(map(_with_case, host))
    schema = quote(fields["schema"] or "", safe="")
    extra = f"?{urlencode({Connection.EXTRA_KEY: fields['extra']})}" if fields["extra"] else ""
    return f"{kind}://{protocol}{separator}{person}{name}{port}/{schema}{extra}"


def _with_case(letter: str) -> str:
    """Quote a letter of a host so that it is not read as a small one."""
    return f"%{ord(letter):02X}" if letter.isascii() and letter.isupper() else quote(letter, safe="")


def _comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: fields[name] or None for name in _FIELDS}
    if found["extra"]:
        try:
            found["extra"] = json.loads(found["extra"]) or None
        except (ValueError, RecursionError):
            raise Unreadable("Its extra is no JSON.") from None
    return found
