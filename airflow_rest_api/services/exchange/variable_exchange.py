"""Variables as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.models.variable import Variable

from airflow_rest_api.services import masks
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import (
    disclosure,
    exact_json,
    exchange_text,
    file_import,
    readable_rows,
    stored_text,
)
from airflow_rest_api.services.exchange.exchange_file import Entry
from airflow_rest_api.services.exchange.file_import import Fields, Importable, Json, Row
from airflow_rest_api.services.exchange.import_refusals import Wrong
from airflow_rest_api.services.exchange.stored_text import Exported
from airflow_rest_api.services.files.uploads import Upload

_WORD = "variable"
_TABLE = Variable.__table__.c
_MOST_KEY = 250


def export_variables(query: Mapping[str, Any], *, caller: Caller) -> Exported:
    """Write the variables that the caller may read.

    Raises `Denied` and `ReasonMissing` where secrets are asked for, `NotInFormat`, and `SecretUnreadable`.
    """
    if query["include_secrets"]:
        disclosure.require(caller, query["reason"])
    rows = readable_rows.of(_WORD, _TABLE.key, query, "variable_key_pattern", caller)
    found, left_out = stored_text.readable(
        _WORD, {row["key"]: row for row in rows}, _stored, skip_undecryptable=query["skip_undecryptable"]
    )
    shown = (
        found if query["include_secrets"] else {key: _masked(key, fields) for key, fields in found.items()}
    )
    return Exported(_WRITERS[query["format"]](shown), left_out)


def import_variables(query: Mapping[str, Any], *, upload: Upload, caller: Caller) -> Json:
    """Import variables; raises what `file_import.import_file` raises."""
    return file_import.import_file(_VARIABLES, query, upload=upload, caller=caller)


def _stored(row: Row) -> Fields:
    value = stored_text.decrypted(_WORD, row["key"], row["val"], is_encrypted=row["is_encrypted"])
    return {"value": value, "description": row["description"]}


def _masked(key: str, fields: Fields) -> Fields:
    """Mask what must not be shown, and leave everything else as it is written."""
    shown = masks.variable(key, fields["value"]) or ""
    return (
        fields if masks.MASK not in shown else {**fields, "value": exact_json.settled(shown, fields["value"])}
    )


def _json_entries(found: Mapping[str, Fields]) -> dict[str, Any]:
    return {key: _json_entry(fields) for key, fields in found.items()}


def _json_entry(fields: Fields) -> Any:
    """Return what stands for a variable in JSON: as `airflow variables export` has it, unless that loses something."""
    try:
        value = exact_json.value(fields["value"])
    except exact_json.Inexact:
        value = fields["value"]
    if isinstance(value, str):
        value = fields["value"]
    if fields["description"] or (isinstance(value, dict) and "value" in value):
        return {"value": value, "description": fields["description"]}
    return value


def _env(found: Mapping[str, Fields]) -> str:
    values = {key: _one_line(fields["value"]) for key, fields in found.items()}
    return exchange_text.as_env(values, {key: fields["description"] for key, fields in found.items()})


def _one_line(text: str) -> str:
    """Return a value that fits into a line, if there is one: objects and lists may be written in another way."""
    if text.splitlines() == [text]:
        return text
    try:
        return json.dumps(exact_json.value(text))
    except exact_json.Inexact:
        return text


_WRITERS = {
    "json": lambda found: exchange_text.as_json(_json_entries(found)),
    "yaml": lambda found: exchange_text.as_yaml(_json_entries(found)),
    "env": _env,
}


def _fields(entry: Entry) -> Fields:
    """Read an entry as `airflow variables import` does; raises `Wrong`."""
    value, description = entry.value, entry.description
    if isinstance(value, dict) and "value" in value:
        value, description = value["value"], value.get("description")
    if not isinstance(description, str | None):
        raise Wrong("The description has to be a text.")
    text = value if isinstance(value, str) else _dumped(value)
    named = (("key", entry.name, _MOST_KEY), ("value", text, None), ("description", description, None))
    if not entry.name:
        raise Wrong("The key is empty.")
    if why := stored_text.first_fault(named):
        raise Wrong(why)
    return {"value": text, "description": description}


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, indent=2)
    except (TypeError, ValueError, RecursionError):
        raise Wrong("The value is nothing that JSON can hold.") from None


def _merged(key: str, fields: Fields, stored: Fields | None) -> tuple[Fields, None]:
    old = stored["value"] if stored else None
    text = masks.kept_variable(key, fields["value"], old)
    return {**fields, "value": exact_json.settled(text, old)}, None


def _values(fields: Fields) -> Json:
    text, is_encrypted = stored_text.encrypted(fields["value"])
    return {"val": text, "is_encrypted": is_encrypted, "description": fields["description"]}


_VARIABLES = Importable(
    word=_WORD,
    column=_TABLE.key,
    fields=_fields,
    stored=_stored,
    merged=_merged,
    values=_values,
    masked=_masked,
)
