"""Audit fields: what an audit row keeps of a request, masked and bounded.

As in Airflow (`airflow/api_fastapi/logging/decorators.py`): the fields of the body and the arguments of the address,
but no value of a variable, no extra and no password of a connection, and nothing with a sensitive name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from airflow._shared.secrets_masker import redact

from airflow_rest_api.services import errors, instants, masks
from airflow_rest_api.services.files.uploads import Upload

Fields = dict[str, Any]
# How many characters of a text are kept, how long it may be for that, and how many are kept of one request.
LONGEST_TEXT, MOST_READ = 1024, 65_536
MOST = 4000
# Columns of Airflow's table have these; no header is kept.
_COLUMNS = frozenset({"dag_id", "task_id", "dag_run_id", "run_id", "map_index", "logical_date"})
_HEADERS = frozenset({"idempotency_key", "if_match", "if_none_match"})
# Whatever Airflow's settings say about names.
_SECRET = frozenset({"password", "token", "refresh_token", "access_token", "api_key"})
# Airflow keeps no form. Of ours, these name the object, and why.
_OF_FORM = frozenset({"root", "path", "bundle_name", "file", "dag_file", "archive", "reason"})
# Callers put secrets into wrong places too: the team and the update mask are hidden with them.
_OF_TAG: Mapping[str, frozenset[str]] = {
    "Variable": frozenset({"value", "val", "team_name", "update_mask"}),
    "Connection": frozenset({"team_name", "update_mask"}),
}


def of_request(tag: str, arguments: Mapping[str, Any], body: Any) -> Fields:
    """Return the fields of a request for the column `extra`."""
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _COLUMNS | _HEADERS and value not in (None, False, [])
    }
    budget = _Budget()
    pruned = budget.pruned({**(body if isinstance(body, Mapping) else {}), **kept})
    return _of_bulk(tag, pruned) or _masked(tag, pruned)


def of_form(form: Any) -> Fields:
    """Return the fields of a form that name what it is about."""
    return {name: form[name] for name in _OF_FORM if name in form} if isinstance(form, Mapping) else {}


def of_old_call(shown: Callable[[str, str], str], values: Mapping[str, Any]) -> Fields:
    """Return the fields of an old call; ``shown`` masks the text of an argument as the response does."""
    kept = {name: value for name, value in values.items() if name not in _COLUMNS}
    told = {name: shown(name, value) if isinstance(value, str) else value for name, value in kept.items()}
    if "conf" in told:
        told["conf"] = _parsed_conf(told["conf"])
    return _masked("", _Budget().pruned(told))


def columns(arguments: Mapping[str, Any], body: Any) -> Fields:
    """Return what the columns of Airflow's table hold: from the address, or else from the body.

    The name of a bulk body counts if all of its entities have the same.
    """
    sent = body if isinstance(body, Mapping) else {}
    named = {**_shared(list(_entities(sent))), **{name: sent[name] for name in _COLUMNS if name in sent}}
    named |= {
        name: value for name, value in arguments.items() if name in _COLUMNS and value not in (None, "~")
    }
    found = {name: named[name] for name in ("dag_id", "task_id") if isinstance(named.get(name), str)}
    run_id = named.get("dag_run_id") or named.get("run_id")
    if isinstance(run_id, str):
        found["run_id"] = run_id
    if isinstance(named.get("map_index"), int):
        found["map_index"] = named["map_index"]
    moment = _moment(named.get("logical_date"))
    return found if moment is None else {**found, "logical_date": moment}


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime) or not isinstance(value, str):
        return value if isinstance(value, datetime) else None
    try:
        return instants.parse(value)
    except (errors.Refusal, ValueError, OverflowError):
        return None


def _entities(body: Mapping[str, Any]) -> Iterator[Any]:
    actions = body.get("actions")
    for action in actions if isinstance(actions, list) else []:
        entities = action.get("entities") if isinstance(action, Mapping) else None
        yield from entities if isinstance(entities, list) else []


def _shared(entities: Iterable[Any]) -> Fields:
    """Return the names that all entities have in common."""
    every = [entity if isinstance(entity, Mapping) else {} for entity in entities]
    first = every[0] if every else {}
    names = [name for name in _COLUMNS if first.get(name) is not None]
    return {name: first[name] for name in names if all(one.get(name) == first[name] for one in every)}


def _of_bulk(tag: str, fields: Fields) -> Fields | None:
    """Return the fields of a bulk body with its entities masked one by one; None for another body."""
    actions = fields.get("actions")
    if not isinstance(actions, list):
        return None
    return {**fields, "actions": [_of_action(tag, action) for action in actions]}


def _of_action(tag: str, action: Any) -> Any:
    entities = action.get("entities") if isinstance(action, dict) else None
    if not isinstance(entities, list):
        return action
    masked = [_masked(tag, entity) if isinstance(entity, dict) else entity for entity in entities]
    return {**action, "entities": masked}


def _masked(tag: str, fields: Fields) -> Fields:
    secret = _SECRET | _OF_TAG.get(tag, frozenset())
    return {name: _shown(tag, name, value, secret) for name, value in fields.items()}


def _shown(tag: str, name: str, value: Any, secret: frozenset[str]) -> Any:
    if name in secret and value is not None:
        return masks.MASK
    if tag == "Connection" and name == "extra" and value:
        return _extra(value)
    return redact(value, name)


def _extra(value: Any) -> Any:
    """Return the names in the extra of a connection: Airflow masks all of its values."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        parsed = None
    return dict.fromkeys(parsed, masks.MASK) if isinstance(parsed, dict) else masks.MASK


def _parsed_conf(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return masks.MASK


class _Budget:
    """Bounds what is kept of a value. Texts are masked before they are cut, so that no part of a secret is kept."""

    def __init__(self) -> None:
        self._left = MOST

    def pruned(self, value: Any) -> Any:
        """Return a copy in the types of JSON."""
        if isinstance(value, Mapping):
            return self._dict(value)
        if isinstance(value, list | tuple):
            return self._list(value)
        if isinstance(value, Upload):
            value = value.name
        if isinstance(value, datetime | date):
            value = value.isoformat()
        if isinstance(value, str):
            return self._text(value)
        self._left -= 8
        return value if isinstance(value, int | float | None) else type(value).__name__

    def _text(self, value: str) -> str:
        if len(value) > MOST_READ or self._left < 0:
            return f"({len(value)} characters)"
        kept = str(redact(value))[:LONGEST_TEXT] if len(value) > LONGEST_TEXT else value
        self._left -= len(kept)
        return kept

    def _dict(self, value: Mapping[Any, Any]) -> Fields:
        kept: Fields = {}
        for name, entry in value.items():
            self._left -= len(str(name))
            if self._left < 0:
                return {**kept, "…": f"({len(value) - len(kept)} more)"}
            kept[str(name)[:LONGEST_TEXT]] = self.pruned(entry)
        return kept

    def _list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        kept: list[Any] = []
        for entry in value:
            if self._left < 0:
                return [*kept, f"({len(value) - len(kept)} more)"]
            kept.append(self.pruned(entry))
        return kept
