"""Connection entries: what a file says of one connection, as a URI or as an object of its fields."""

from __future__ import annotations

import json
import re
from typing import Any

from airflow.models.connection import sanitize_conn_id

from airflow_rest_api.services.exchange import connection_address, connection_extra, stored_text
from airflow_rest_api.services.exchange.exchange_file import Entry
from airflow_rest_api.services.exchange.file_import import Fields, Json
from airflow_rest_api.services.exchange.import_refusals import Wrong

# The ids of new connections in Airflow's CLI and API, and the longest that its models accept.
_ID = re.compile(r"[\w.-]{1,200}")
_MOST_ID = 250
_TEXTS = (
    ("conn_type", 500),
    ("description", 5000),
    ("host", 500),
    ("login", None),
    ("password", None),
    ("schema", 500),
)
_KEYS = frozenset(
    {*(name for name, _ in _TEXTS), "conn_id", "port", "extra", "extra_dejson", "uri", "team_name"}
)
_MOST_PORT = 2**31 - 1


def read(entry: Entry) -> Fields:
    """Return the fields of a connection (`airflow/secrets/local_filesystem.py`); raises `Wrong`, which quotes none."""
    if not _is_id(entry):
        raise Wrong("The id may have 1 to 200 letters, digits, dots, dashes and underscores.")
    value = _object(entry.name, entry.value)
    fields: Json = {
        **{name: _text(name, value.get(name)) for name, _ in _TEXTS},
        "port": _port(value.get("port")),
        "extra": _extra(value),
        "team_name": _text("team_name", value.get("team_name")),
    }
    if entry.description is not None:
        fields["description"] = entry.description
    if not fields["conn_type"]:
        raise Wrong("It has no `conn_type`.")
    if why := stored_text.first_fault(
        [(name, fields[name], most) for name, most in (*_TEXTS, ("extra", None))]
    ):
        raise Wrong(why)
    return {**fields, "password": fields["password"] or None}


def _is_id(entry: Entry) -> bool:
    """Return whether the id is allowed; an object, as exports write it, may have every id of Airflow's models."""
    if isinstance(entry.value, dict):
        return sanitize_conn_id(entry.name, _MOST_ID) == entry.name
    return fits_a_line(entry.name)


def fits_a_line(name: str) -> bool:
    """Return whether an id may name a URI, for instance in a `.env` file."""
    return _ID.fullmatch(name) is not None


def _object(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, str):
        return _written(value)
    if not isinstance(value, dict):
        raise Wrong("It has to be a URI, or an object of its fields.")
    if unknown := sorted(str(key)[:100] for key in value.keys() - _KEYS):
        raise Wrong(f"'{unknown[0]}' is no field of a connection.")
    if value.get("conn_id", name) != name:
        raise Wrong("Its `conn_id` is another one.")
    if value.get("uri"):
        return _of_address(value)
    return value


def _written(text: str) -> dict[str, Any]:
    """Read a text: a URI, or the fields as JSON (`--serialization-format json`)."""
    if not text.startswith("{"):
        return _parsed(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Wrong("It is no JSON object.") from None
    if unknown := sorted(str(key)[:100] for key in value.keys() - _KEYS):
        raise Wrong(f"'{unknown[0]}' is no field of a connection.")
    return dict(value)


def _of_address(value: dict[str, Any]) -> dict[str, Any]:
    besides = value.keys() - {"uri", "conn_id", "description", "team_name"}
    if any(value[key] for key in besides):
        raise Wrong("It has a `uri` and fields that the URI holds.")
    uri = _text("uri", value["uri"]) or ""
    return {**_parsed(uri), "description": value.get("description"), "team_name": value.get("team_name")}


def _parsed(address: str) -> dict[str, Any]:
    try:
        return connection_address.read(address)
    except connection_address.Unreadable as fault:
        raise Wrong(str(fault)) from None


def _text(name: str, value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise Wrong(f"The {name} has to be a text; put it in quotes.")
    return value


def _port(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        value = int(value)
    if value in (None, ""):
        return None
    if type(value) is not int or not -_MOST_PORT <= value <= _MOST_PORT:
        raise Wrong("The port has to be a number.")
    return value


def _extra(value: dict[str, Any]) -> str | None:
    """Return the extra as the text of a JSON object."""
    extra, parsed = value.get("extra"), value.get("extra_dejson")
    if "extra" in value and "extra_dejson" in value:
        raise Wrong("It has both an `extra` and an `extra_dejson`.")
    given = extra if parsed is None else parsed
    if given is None or given == "":
        return given
    if (stored := connection_extra.as_stored(given)) is not None:
        return stored
    try:
        text = given if isinstance(given, str) else json.dumps(given)
    except (ValueError, TypeError, RecursionError):
        text = ""
    if not connection_extra.is_object(text):
        raise Wrong("The extra has to be a JSON object.")
    return text
