"""Pool: the command `airflow pool` of Airflow 1, which logged its failures where it logged its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import tables
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import pool as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import stored_text
from airflow_rest_api.services.pools.pool_changes import DefaultPoolNotDeletable
from airflow_rest_api.services.states import UNCONDITIONAL

Row = Sequence[Any]

_HEADERS = ("Pool", "Slots", "Description")
_MOST_NAME, _MOST_SLOTS, _MOST_SHOWN = 256, 2**31 - 1, 1000
_USAGE = """\
usage: airflow pool [-h] [-s NAME SLOT_COUNT POOL_DESCRIPTION] [-g NAME]
                    [-x NAME] [-i FILEPATH] [-e FILEPATH]
airflow pool: error: argument -s/--set: expected 3 arguments
"""


class _Failed(Exception):
    """What the command logged in place of a table."""


def pool(call: Call, given: Mapping[str, Any], *, caller: Caller) -> Json:
    """Show, set or delete one pool, or show all; raises `Printed` for a wrong number of arguments."""
    if given["set"]:
        call.show("set", given["set"])
    elif given["cmd"] == "set":
        call.spell("set", "pool_name", "slot_count", _description(given))
    try:
        rows = _rows(call, given, caller)
    except _Failed as fault:
        return call.printed(f"{fault}\n")
    return call.printed(tables.drawn(_HEADERS, rows, texts=(0, 2)))


def _rows(call: Call, given: Mapping[str, Any], caller: Caller) -> list[Row]:
    wanted = _wanted(given)
    if given["get"]:
        return [_got(call, given["get"])]
    if wanted:
        return [_set(call, wanted, caller)]
    if given["delete"]:
        return [_deleted(call, given["delete"])]
    call.require("get_pools", {})
    return [(name, slots, _short(text)) for name, slots, text in service.get_limits(caller=caller)]


def _wanted(given: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return name, slots and description that are to be set, if any are."""
    if given["set"]:
        # The plugin handed it on as one argument, of which the command wanted three.
        raise Printed(_USAGE)
    if given["cmd"] != "set":
        return None
    name, slots, description = given["pool_name"], given["slot_count"], given[_description(given)]
    if not (name and slots and description):
        raise Printed(_USAGE)
    return name, slots, description


def _description(given: Mapping[str, Any]) -> str:
    """Return the name of the argument that describes a pool: the manual has the second, the plugin read the first."""
    return "pool_description" if given["pool_description"] else "description"


def _got(call: Call, name: str) -> Row:
    call.require("get_pool", {"pool_name": name})
    return _found(_named(name))


def _set(call: Call, wanted: tuple[str, str, str], caller: Caller) -> Row:
    name, count, description = wanted
    body = {"slots": _slots(count), "description": description}
    call.require("put_pool", {"pool_name": name}, body)
    if why := stored_text.first_fault(
        (("name", _named(name), _MOST_NAME), ("description", description, None))
    ):
        raise Printed(why)
    return _row(service.put_pool(name, body=body, precondition=UNCONDITIONAL, caller=caller).answer)


def _deleted(call: Call, name: str) -> Row:
    call.require("get_pool", {"pool_name": name})
    call.require("delete_pool", {"pool_name": name})
    row = _found(_named(name))
    try:
        service.delete_pool(name, precondition=UNCONDITIONAL)
    except DefaultPoolNotDeletable:
        raise _Failed(f"{name} cannot be deleted") from None
    except service.PoolNotFound:
        raise _missing(name) from None
    return row


def _found(name: str) -> Row:
    try:
        return _row(service.get_pool(name).answer)
    except service.PoolNotFound:
        raise _missing(name) from None


def _missing(name: str) -> _Failed:
    return _Failed(f"Pool '{name}' doesn't exist")


def _named(name: str) -> str:
    if not name.strip():
        raise _Failed("Pool name shouldn't be empty")
    return name


def _slots(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = None
    if count is None or not -1 <= count <= _MOST_SLOTS:
        raise _Failed(f"Bad value for `slots`: {text}")
    return count


def _row(entry: Mapping[str, Any]) -> Row:
    return entry["name"], entry["slots"], _short(entry["description"])


def _short(description: str | None) -> str | None:
    """Return a description as a table has it, all of whose rows are as wide as the widest."""
    if description is None or len(description) <= _MOST_SHOWN:
        return description
    return f"{description[:_MOST_SHOWN]}..."
