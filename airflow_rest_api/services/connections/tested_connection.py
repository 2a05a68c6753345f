"""Tested connections: what is tested for a caller's wish, and when the secrets that are stored are part of it.

Airflow uses stored secrets where host and port are the stored ones. That is not enough: another type asks another port,
another schema may be `http` for `https`, a login may be the name of a host, and an extra may hold a proxy, an endpoint
or a `hostaddr`. So they are used only where all of that is as it is stored, and whoever changes any of it brings the
secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowException

from airflow_rest_api.services import errors, masks
from airflow_rest_api.services.caller import Caller

Entry = dict[str, Any]

_FIELDS = ("conn_type", "host", "login", "schema", "port", "password", "extra")
# The password is not among them: another one leads nowhere else.
_DESTINATION = ("conn_type", "host", "port", "schema", "login")
_IN_URL = re.compile(r"://[^/?#\s]*?:([^/?#\s]*)@")


class CredentialsNeeded(errors.Malformed):
    """What is to be tested is not what is stored, so the stored secrets are not for it."""

    title = "The credentials are needed"

    def __init__(self, connection_id: str, names: list[str], needed: str) -> None:
        super().__init__(
            f"The connection '{connection_id}' is stored with another {' and another '.join(names)}, so its secrets"
            f" are not used for this test: send the {needed} to test with.",
            connection_id=connection_id,
        )


def fields(body: Mapping[str, Any], caller: Caller) -> Entry:
    """Return the arguments of a connection to be tested: those of the body, over those that are stored.

    What is stored is asked for only where the caller may read it. Raises `CredentialsNeeded` and `MaskedValue`.
    """
    stored = _stored(body["connection_id"], caller)
    if stored is None:
        return _own(body)
    changed = _changed(body, stored)
    is_moved = bool({"host", "port"} & set(changed))
    if not is_moved and not (changed and _has_secrets(stored)):
        return _merged(body, stored)
    if not _brings_password(body):
        raise CredentialsNeeded(body["connection_id"], changed, "password")
    # As in Airflow: of what is stored for another host, nothing is used.
    return _own(body) if is_moved else _merged(body, _without_secrets(body, stored, changed))


def secrets(tested: Mapping[str, Any]) -> set[str]:
    """Return what of a tested connection must not be told."""
    texts = " ".join(tested[name] or "" for name in ("host", "extra"))
    found = {tested["password"], *_IN_URL.findall(texts), *_hidden(*_extra_and_shown(tested["extra"]))}
    return {text for text in found if text and text != masks.MASK}


def _stored(connection_id: str, caller: Caller) -> Entry | None:
    """Return a connection from wherever Airflow finds it for a task, None for a caller who may not read it."""
    if not caller.permissions.may_named("connection", connection_id, "GET"):
        return None
    try:
        team = Connection.get_team_name(connection_id)
        found = Connection.get_connection_from_secrets(connection_id, team_name=team)
        return {name: getattr(found, name) for name in _FIELDS}
    except (AirflowException, ValueError):
        # There is none, or none that Airflow could use: its extra is no JSON.
        return None


def _own(body: Mapping[str, Any]) -> Entry:
    return {
        **{name: body.get(name) for name in _FIELDS},
        "password": masks.kept_password(body.get("password"), None),
        "extra": masks.kept_extra(_extra(body), None),
    }


def _merged(body: Mapping[str, Any], stored: Entry) -> Entry:
    kept = {name: body[name] if name in body else stored[name] for name in _FIELDS}
    if "password" in body:
        kept["password"] = masks.kept_password(body["password"], stored["password"])
    if "extra" in body:
        kept["extra"] = masks.kept_extra(_extra(body), stored["extra"])
    return kept


def _without_secrets(body: Mapping[str, Any], stored: Entry, changed: list[str]) -> Entry:
    extra, shown = _extra_and_shown(stored["extra"])
    if extra != shown and "extra" not in body:
        raise CredentialsNeeded(body["connection_id"], changed, "extra")
    return {**stored, "password": None, "extra": stored["extra"] if extra == shown else None}


def _extra(body: Mapping[str, Any]) -> str | None:
    # As in Airflow, an empty text is an empty object.
    return "{}" if body.get("extra") == "" else body.get("extra")


def _has_secrets(stored: Entry) -> bool:
    extra, shown = _extra_and_shown(stored["extra"])
    return bool(stored["password"]) or extra != shown


def _extra_and_shown(text: str | None) -> tuple[Any, Any]:
    """Return an extra, and what may be shown of it."""
    return json.loads(text or "{}"), json.loads(masks.extra(text) or "{}")  # noqa: S610 (no Django)


def _changed(body: Mapping[str, Any], stored: Entry) -> list[str]:
    """Return the fields that may lead elsewhere than what is stored; empty and absent is the same."""
    changed = [
        name for name in _DESTINATION if name in body and (body[name] or None) != (stored[name] or None)
    ]
    if "extra" in body and _parsed(_kept_extra(body, stored)) != _parsed(stored["extra"]):
        changed.append("extra")
    return changed


def _kept_extra(body: Mapping[str, Any], stored: Entry) -> str | None:
    try:
        return masks.kept_extra(_extra(body), stored["extra"])
    except masks.MaskedValue:
        # A mask for what is not there: another extra than the stored one.
        return masks.MASK


def _parsed(extra: str | None) -> Any:
    try:
        return json.loads(extra or "{}")
    except ValueError:
        return extra


def _brings_password(body: Mapping[str, Any]) -> bool:
    return bool(body.get("password")) and body["password"] != masks.MASK


def _hidden(value: Any, shown: Any) -> Iterator[str]:
    """Yield the texts and numbers of which a mask is shown."""
    if isinstance(value, dict) and isinstance(shown, dict):
        for key, inner in value.items():
            yield from _hidden(inner, shown.get(key))
    elif isinstance(value, list) and isinstance(shown, list):
        for inner, other in zip(value, shown, strict=False):
            yield from _hidden(inner, other)
    elif isinstance(value, (dict, list)):
        inside = value.values() if isinstance(value, dict) else value
        for inner in inside:
            yield from _hidden(inner, masks.MASK)
    elif value is not None and value != shown:
        yield str(value)
