"""Connections: the command `airflow connections` of Airflow 1, which said everything on its standard output."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import tables
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import connection as service
from airflow_rest_api.services import masks
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.connections import shown_address
from airflow_rest_api.services.exchange import connection_entry
from airflow_rest_api.services.exchange.exchange_file import Entry
from airflow_rest_api.services.exchange.import_refusals import Wrong
from airflow_rest_api.services.states import UNCONDITIONAL

# What a table shows, by its heading.
_SHOWN = {
    "Conn Id": "connection_id",
    "Conn Type": "conn_type",
    "Host": "host",
    "Port": "port",
    "Is Encrypted": "is_encrypted",
    "Is Extra Encrypted": "is_extra_encrypted",
    "Extra": "extra",
}


def connections(call: Call, given: Mapping[str, Any], *, caller: Caller) -> Json:
    """List the connections, delete one, or add one; raises `Printed` for one that cannot be added."""
    address = given["conn_uri"] and shown_address.of(given["conn_uri"])
    if address:
        call.show("conn_uri", address)
    if given["conn_extra"]:
        call.show("conn_extra", masks.extra_text(given["conn_extra"]))
    if given["list"]:
        return _listed(call, given, caller)
    if given["delete"]:
        return _deleted(call, given)
    if given["add"]:
        return _added(call, given, address)
    call.require("get_connections", {})
    return call.printed("")


def _listed(call: Call, given: Mapping[str, Any], caller: Caller) -> Json:
    call.require("get_connections", {})
    if sent := _sent(given, "conn_id", "conn_uri", "conn_extra", "conn_type"):
        return _said(call, f"The following args are not compatible with the --list flag: {sent!r}")
    # As the command had them: in Python's notation, long texts with their middle left out.
    rows = [
        [reprlib.repr(entry[field]) for field in _SHOWN.values()]
        for entry in service.get_table(caller=caller)
    ]
    return call.printed(tables.drawn(list(_SHOWN), rows))


def _deleted(call: Call, given: Mapping[str, Any]) -> Json:
    name = given["conn_id"]
    call.require("delete_connection", {"connection_id": name})
    if sent := _sent(given, "conn_uri", "conn_extra", "conn_type"):
        return _said(call, f"The following args are not compatible with the --delete flag: {sent!r}")
    if not name:
        return _said(call, "To delete a connection, you Must provide a value for the --conn_id flag.")
    try:
        service.delete_connection(name, precondition=UNCONDITIONAL)
    except service.ConnectionNotFound:
        return _said(call, f"Did not find a connection with `conn_id`={name}")
    return _said(call, f"Successfully deleted `conn_id`={name}")


def _added(call: Call, given: Mapping[str, Any], address: str | None) -> Json:
    name, kind = given["conn_id"], given["conn_type"]
    call.require("post_connection", {})
    missing = [] if name else ["conn_id"]
    if not (address or kind):
        missing.append("conn_uri or conn_type")
    complaints = [f"The following args are required to add a connection: {missing!r}"] if missing else []
    if address and kind:
        flags = "--add flag and --conn_uri flag"
        complaints.append(f"The following args are not compatible with the {flags}: ['conn_type']")
    if complaints:
        return _said(call, *complaints)
    try:
        service.post_connection(body=_body(given))
    except service.ConnectionAlreadyExists:
        return _said(call, f"A connection with `conn_id`={name} already exists")
    return _said(call, f"Successfully added `conn_id`={name} : {address or f'{kind}://:@:'}")


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a connection that is to be added."""
    name, uri, extra = given["conn_id"], given["conn_uri"], given["conn_extra"]
    if uri and "://" not in uri:
        raise Printed("It is no URI of a connection.")
    try:
        fields = dict(
            connection_entry.read(Entry(name, {"uri": uri} if uri else {"conn_type": given["conn_type"]}))
        )
    except Wrong as fault:
        raise Printed(str(fault)) from None
    return {**fields, "connection_id": name, **({"extra": extra} if extra else {})}


def _sent(given: Mapping[str, Any], *names: str) -> list[str]:
    return [name for name in names if given[name]]


def _said(call: Call, *sentences: str) -> Json:
    return call.printed("".join(f"\n\t{sentence}\n\n" for sentence in sentences))
