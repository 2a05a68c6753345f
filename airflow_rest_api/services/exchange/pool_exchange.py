"""Pools as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.models.pool import Pool

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import exchange_text, file_import, readable_rows, stored_text
from airflow_rest_api.services.exchange.exchange_file import Entry
from airflow_rest_api.services.exchange.file_import import Fields, Importable, Json, Row
from airflow_rest_api.services.exchange.import_refusals import Wrong
from airflow_rest_api.services.files.uploads import Upload

_WORD = "pool"
_TABLE = Pool.__table__.c
_MOST_NAME = 256
_MOST_SLOTS = 2**31 - 1
_KEYS = frozenset({"slots", "description", "include_deferred", "team_name"})


def export_pools(query: Mapping[str, Any], *, caller: Caller) -> str:
    """Write the pools that the caller may read; raises `Denied` and `NotInFormat`."""
    rows = readable_rows.of(_WORD, _TABLE.pool, query, "pool_name_pattern", caller)
    found = {row["pool"]: _entry(row) for row in rows}
    return _WRITERS[query["format"]](found)


def import_pools(query: Mapping[str, Any], *, upload: Upload, caller: Caller) -> Json:
    """Import pools; raises what `file_import.import_file` raises."""
    return file_import.import_file(_POOLS, query, upload=upload, caller=caller)


def _entry(row: Row) -> Json:
    entry = {name: row[name] for name in ("slots", "description", "include_deferred")}
    return entry if row["team_name"] is None else {**entry, "team_name": row["team_name"]}


def _env(found: Mapping[str, Json]) -> str:
    """Write the entry of each pool as JSON: the CLI has no such file for pools."""
    return exchange_text.as_env({name: json.dumps(entry) for name, entry in found.items()}, {})


_WRITERS = {"json": exchange_text.as_json, "yaml": exchange_text.as_yaml, "env": _env}


def _fields(entry: Entry) -> Fields:
    """Read an entry as `airflow pools import` does; raises `Wrong`."""
    value = _object(entry.value)
    if unknown := sorted(str(name)[:100] for name in value.keys() - _KEYS):
        raise Wrong(f"'{unknown[0]}' is no field of a pool.")
    slots, description = value.get("slots"), value.get("description")
    if type(slots) is not int or not -1 <= slots <= _MOST_SLOTS:
        raise Wrong(f"The slots have to be a number from -1 (no limit) to {_MOST_SLOTS}.")
    if not isinstance(description, str | None):
        raise Wrong("The description has to be a text.")
    deferred, team = value.get("include_deferred", False), value.get("team_name")
    if type(deferred) is not bool or not isinstance(team, str | None):
        raise Wrong("`include_deferred` has to be true or false, and `team_name` a text.")
    if not entry.name:
        raise Wrong("The name is empty.")
    if why := stored_text.first_fault((("name", entry.name, _MOST_NAME), ("description", description, None))):
        raise Wrong(why)
    return {"slots": slots, "description": description, "include_deferred": deferred, "team_name": team}


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Wrong("It is no JSON object.") from None
    if not isinstance(value, dict):
        raise Wrong("It has to be an object with the slots.")
    return value


def _stored(row: Row) -> Fields:
    return {name: row[name] for name in ("slots", "description", "include_deferred", "team_name")}


def _merged(name: str, fields: Fields, stored: Fields | None) -> tuple[Fields, None]:
    if stored is None:
        return fields, None
    if fields["team_name"] not in (None, stored["team_name"]):
        raise Wrong("It belongs to another team, or to none.")
    if name == Pool.DEFAULT_POOL_NAME and fields["description"] != stored["description"]:
        raise Wrong(f"The description of '{name}' cannot be changed.")
    return {**fields, "team_name": stored["team_name"]}, None


_POOLS = Importable(
    word=_WORD,
    column=_TABLE.pool,
    fields=_fields,
    stored=_stored,
    merged=_merged,
    values=dict,
    always_there=Pool.DEFAULT_POOL_NAME,
)
