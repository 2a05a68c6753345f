"""Variables: the command `airflow variables` of Airflow 1, which did all that it was asked for, in its own order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant.variable_files import VariableFiles
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import masks
from airflow_rest_api.services import variable as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import stored_text
from airflow_rest_api.services.states import UNCONDITIONAL
from airflow_rest_api.services.variables import variable_sources

_MOST_KEY = 250
_USAGE = """\
usage: airflow variables [-h] [-s KEY VAL] [-g KEY] [-j] [-d VAL]
                         [-i FILEPATH] [-e FILEPATH] [-x KEY]
airflow variables: error: argument -s/--set: expected 2 arguments
"""


class _Step(NamedTuple):
    """One thing that the command does: what it asks for first, and what it does and prints."""

    ask: Callable[[], Any]
    act: Callable[[], str]


def variables(
    call: Call,
    given: Mapping[str, Any],
    *,
    caller: Caller,
    upload_roots: Mapping[str, Path],
) -> Json:
    """Get, delete, set, import and export variables, or list their keys.

    Nothing is done unless the caller may do all of it. Raises `Printed` where the command would have failed.
    """
    _tell(call, given)
    files = VariableFiles(call, caller, upload_roots)
    steps = list(_steps(call, given, caller, files)) or [_listing(call, caller)]
    for step in steps:
        step.ask()
    stdout = ""
    for step in steps:
        stdout += _done(step, stdout)
    return call.printed(stdout)


def _done(step: _Step, before: str) -> str:
    """Do a step; one that fails tells what was printed ``before`` as well."""
    try:
        return step.act()
    except Printed as fault:
        raise Printed(fault.detail, before + fault.stdout) from None


def _tell(call: Call, given: Mapping[str, Any]) -> None:
    """Let the command be told without secrets, whether they were sent in the way that works or in the other."""
    if given["key"] and given["value"]:
        call.show("value", masks.variable_text(given["key"], given["value"]))
    key, space, value = (given["set"] or "").partition(" ")
    if space:
        call.show("set", f"{key} {masks.variable_text(key, value)}")
    if given["cmd"] == "set" and not given["set"]:
        call.spell("set", "key", "value")


def _steps(call: Call, given: Mapping[str, Any], caller: Caller, files: VariableFiles) -> Iterator[_Step]:
    assignment = _assignment(call, given)
    if key := given["get"]:
        ask = partial(call.require, "get_variable", {"variable_key": key})
        yield _Step(ask, partial(_got, key, given["default"], as_json=given["json"]))
    if key := given["delete"]:
        ask = partial(call.require, "delete_variable", {"variable_key": key})
        yield _Step(ask, partial(_deleted, key))
    if assignment:
        key, value = assignment
        ask = partial(call.require, "put_variable", {"variable_key": key}, {"value": value})
        yield _Step(ask, partial(_set, key, value, caller))
    if path := given["import"]:
        yield _Step(partial(files.ask_to_import, path), partial(files.imported, path))
    if path := given["export"]:
        yield _Step(partial(files.ask_to_export, path), partial(files.exported, path))


def _assignment(call: Call, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the key and the value that are to be set, if any are."""
    if given["set"]:
        key, _, value = given["set"].partition(" ")
        # Its echo tells what is a secret here, which is for those who may set it.
        call.require("put_variable", {"variable_key": key}, {"value": value})
        # The plugin handed it on as one argument, of which the command wanted two.
        raise Printed(_USAGE)
    if given["cmd"] != "set":
        return None
    if not (given["key"] and given["value"]):
        raise Printed(_USAGE)
    return given["key"], given["value"]


def _listing(call: Call, caller: Caller) -> _Step:
    def act() -> str:
        return "\n".join(service.get_keys(caller=caller)) + "\n"

    return _Step(partial(call.require, "get_variables", {}), act)


def _got(key: str, default: str | None, *, as_json: bool) -> str:
    try:
        text = variable_sources.get_text(key)
    except variable_sources.VariableNowhere:
        if default is None:
            raise Printed(f"KeyError: {f'Variable {key} does not exist'!r}") from None
        return f"{default}\n"
    return f"{_parsed(text) if as_json else text}\n"


def _parsed(text: str) -> str:
    """Return what a JSON text means in Python's notation, or why it is none; raises `Printed` for a bottomless one."""
    try:
        return str(json.loads(text))
    except ValueError as fault:
        return str(fault)
    except RecursionError:
        raise Printed("RecursionError: maximum recursion depth exceeded") from None


def _deleted(key: str) -> str:
    try:
        service.delete_variable(key, precondition=UNCONDITIONAL)
    except service.VariableNotFound:
        # The command did not look whether there is one.
        return ""
    return ""


def _set(key: str, value: str, caller: Caller) -> str:
    if why := stored_text.first_fault((("key", key, _MOST_KEY), ("value", value, None))):
        raise Printed(why)
    service.put_variable(key, body={"value": value}, precondition=UNCONDITIONAL, caller=caller)
    return ""
