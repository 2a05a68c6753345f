"""Connections as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.models.connection import Connection

from airflow_rest_api.services import masks
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import (
    connection_address,
    connection_entry,
    connection_extra,
    disclosure,
    exact_json,
    exchange_text,
    file_import,
    readable_rows,
    stored_text,
)
from airflow_rest_api.services.exchange.file_import import Fields, Importable, Json, Row
from airflow_rest_api.services.exchange.stored_text import Exported
from airflow_rest_api.services.files.uploads import Upload

_WORD = "connection"
_TABLE = Connection.__table__.c
# In the order in which `airflow connections export` writes them.
_WRITTEN = ("conn_type", "description", "login", "password", "host", "port", "schema", "extra")


def export_connections(query: Mapping[str, Any], *, caller: Caller) -> Exported:
    """Write the connections that the caller may read; raises as `variable_exchange.export_variables`."""
    if query["include_secrets"]:
        disclosure.require(caller, query["reason"])
    rows = readable_rows.of(_WORD, _TABLE.conn_id, query, "connection_id_pattern", caller)
    found, left_out = stored_text.readable(
        _WORD, {row["conn_id"]: row for row in rows}, _stored, skip_undecryptable=query["skip_undecryptable"]
    )
    shown = found if query["include_secrets"] else _all_masked(found)
    return Exported(_WRITERS[query["format"]](shown), left_out)


def import_connections(query: Mapping[str, Any], *, upload: Upload, caller: Caller) -> Json:
    """Import connections; raises what `file_import.import_file` raises."""
    return file_import.import_file(_CONNECTIONS, query, upload=upload, caller=caller)


def _stored(row: Row) -> Fields:
    name = row["conn_id"]
    plain = {field: row[field] for field in (*_WRITTEN, "team_name")}
    password = stored_text.decrypted(_WORD, name, row["password"], is_encrypted=row["is_encrypted"])
    extra = stored_text.decrypted(_WORD, name, row["extra"], is_encrypted=row["is_extra_encrypted"])
    return {**plain, "password": password, "extra": extra}


def _all_masked(found: Mapping[str, Fields]) -> dict[str, Fields]:
    # Before anything is shown: an extra may repeat a password.
    masks.learn(fields["password"] for fields in found.values() if fields["password"])
    return {name: _masked(name, fields) for name, fields in found.items()}


def _masked(_: str, fields: Fields) -> Fields:
    """Mask what must not be shown, and leave everything else as it is written."""
    extra = masks.extra(fields["extra"])  # noqa: S610 not Django's
    is_masked = masks.MASK in (extra or "")
    shown = exact_json.settled(extra or "", fields["extra"]) if is_masked else fields["extra"]
    return {**fields, "password": masks.password(fields["password"]), "extra": shown}


def _entries(found: Mapping[str, Fields]) -> dict[str, Json]:
    return {
        name: {
            **{field: fields[field] for field in _WRITTEN},
            "extra": connection_extra.written(fields["extra"]),
        }
        for name, fields in found.items()
    }


def _env(found: Mapping[str, Fields]) -> str:
    addresses = {
        name: connection_address.written(fields) if connection_entry.fits_a_line(name) else None
        for name, fields in found.items()
    }
    return exchange_text.as_env(addresses, {name: fields["description"] for name, fields in found.items()})


_WRITERS = {
    "json": lambda found: exchange_text.as_json(_entries(found), indent=2, sort_keys=False),
    "yaml": lambda found: exchange_text.as_yaml(_entries(found)),
    "env": _env,
}


def _merged(_: str, fields: Fields, stored: Fields | None) -> tuple[Fields, str | None]:
    if stored is None:
        return _without_masks(fields)
    extra = masks.kept_extra(fields["extra"], stored["extra"], stored["password"])
    kept = {
        "password": masks.kept_password(fields["password"], stored["password"]),
        "extra": exact_json.settled(extra, stored["extra"]) if extra else extra,
        "team_name": stored["team_name"],
    }
    return {**fields, **kept}, None


def _without_masks(fields: Fields) -> tuple[Fields, str | None]:
    """Leave out what is masked of a connection that is not there yet, and say so: nothing is stored to be kept."""
    left_out = []
    password, extra = fields["password"], fields["extra"]
    if password == masks.MASK:
        password = None
        left_out.append("password")
    if extra and masks.MASK in extra:
        cleaned = _without_masked_secrets(extra)
        if cleaned != extra:
            extra = cleaned
            left_out.append("secrets of its extra")
    reason = f"Without the {' and the '.join(left_out)}, which the file has masked." if left_out else None
    return {**fields, "password": password, "extra": extra}, reason


def _without_masked_secrets(extra: str) -> str | None:
    try:
        value = json.loads(extra)
    except (ValueError, RecursionError):
        return None if extra == masks.MASK else extra
    cleaned = _cleaned(value)
    return extra if cleaned == value else json.dumps(cleaned)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cleaned(entry) for name, entry in value.items() if entry != masks.MASK}
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value if entry != masks.MASK]
    return value


def _values(fields: Fields) -> Json:
    password, is_encrypted = stored_text.encrypted(fields["password"])
    extra, is_extra_encrypted = stored_text.encrypted(fields["extra"])
    secrets = {
        "password": password,
        "is_encrypted": is_encrypted,
        "extra": extra,
        "is_extra_encrypted": is_extra_encrypted,
    }
    return {**fields, **secrets}


_CONNECTIONS = Importable(
    word=_WORD,
    column=_TABLE.conn_id,
    fields=connection_entry.read,
    stored=_stored,
    merged=_merged,
    values=_values,
    masked=_masked,
)
