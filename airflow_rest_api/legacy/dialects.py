"""Dialects: in which of the two plugins' ways a call is understood and answered."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airflow_rest_api.legacy import token_errors
from airflow_rest_api.legacy.arguments import NAME
from airflow_rest_api.legacy.calls import CLAIRVOYANT, Call
from airflow_rest_api.legacy.catalogue import OldCall
from airflow_rest_api.legacy.failures import PRINTED, BadRequest, OldFailure, Printed, TokenFailed
from airflow_rest_api.web.problems import Problem

AUTO = "auto"


def of_door(setting: str, door: str) -> str:
    """Return the dialect that is spoken at a door as long as the call has no name."""
    return door if setting == AUTO else setting


def settle(
    call: Call,
    known: Mapping[str, OldCall],
    setting: str,
    named: str,
    query: Mapping[str, str],
    form: Mapping[str, str],
) -> OldCall:
    """Find out which call is meant and in which dialect; raises `BadRequest` as the old dispatchers did.

    ``named`` is the name in the path, which an address of the contract has.
    """
    sent = named or query.get(NAME) or form.get(NAME) or ""
    call.query = {NAME: named, **query} if named else query
    call.form = form
    call.name = sent.strip().lower()
    # eBay's plugin looked whether there is a name before it took the spaces off.
    if not sent or (not call.name and call.dialect == CLAIRVOYANT):
        raise BadRequest("API should be provided")
    old = known.get(call.name)
    if old is None or (setting != AUTO and setting not in old.plugins):
        raise BadRequest(f"API '{call.name}' was not found")
    call.old = old
    if setting == AUTO:
        call.dialect = _of_name(
            old, call.dialect, {**form, **{name: value for name, value in query.items() if value}}
        )
    return old


def _of_name(old: OldCall, door: str, sent: Mapping[str, str]) -> str:
    if len(old.plugins) == 1:
        return old.plugins[0]
    # Of a call that both plugins had, the arguments of one alone tell whose it is.
    wanted = {plugin: set(old.required[plugin]) for plugin in old.plugins}
    shared = set.intersection(*wanted.values())
    told = [plugin for plugin, names in wanted.items() if any(sent.get(name) for name in names - shared)]
    return told[0] if len(told) == 1 else door


def refused(call: Call, fault: Exception, problem: Problem, authorization: bytes | None) -> tuple[int, Any]:
    """Return status and body of a call that was refused."""
    if isinstance(fault, TokenFailed):
        return problem.status, call.token_failed(problem.detail)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return token_errors.of(fault, authorization)
    if isinstance(fault, OldFailure):
        return problem.status, call.failed(problem.status, problem.detail)
    if call.prints and isinstance(fault, PRINTED):
        stdout = fault.stdout if isinstance(fault, Printed) else ""
        return HTTPStatus.OK, call.printed(stdout, problem.detail)
    return problem.status, call.failed(problem.status, problem.detail)
