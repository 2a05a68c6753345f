"""Hooks of schemathesis for both contracts: record each response, log out with spare tokens, restore the database.

The environment variable `RECORD` names the file that responses are appended to, `SPARE_TOKENS` a file of access
tokens, one per line, each of a login of its own, `DATABASE` the SQLite database of the server, and `PREPARED` its copy
from before the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import schemathesis
from schemathesis.generation.meta import TestPhase

from tests.support import template

LOGOUT = "logout"


def _spare_tokens() -> Iterator[str]:
    yield from Path(os.environ["SPARE_TOKENS"]).read_text().split()


TOKENS = _spare_tokens()


def register() -> None:
    schemathesis.hook("before_call")(restore_before_an_example)
    schemathesis.hook("before_call")(log_out_with_a_token_of_its_own)
    schemathesis.hook("after_call")(record)


def operation_id(case) -> str:
    return case.operation.definition.raw["operationId"]


def restore_before_an_example(_context, case, _given) -> None:
    """Bring back what other requests have deleted, which the examples name, and send no generated precondition."""
    if case.meta is not None and case.meta.phase.name == TestPhase.EXAMPLES:
        template.back_up(Path(os.environ["PREPARED"]), Path(os.environ["DATABASE"]))
        for name in ("If-Match", "If-None-Match"):
            case.headers.pop(name, None)


def log_out_with_a_token_of_its_own(_context, case, _given) -> None:
    """Spare the token of the run, which `logout` would revoke for every call after it."""
    if operation_id(case) == LOGOUT and str(case.headers.get("Authorization", "")).startswith("Bearer ey"):
        case.headers["Authorization"] = f"Bearer {next(TOKENS)}"


def record(_context, case, response) -> None:
    """Append the operation and the status of a response."""
    with Path(os.environ["RECORD"]).open("a") as file:
        file.write(json.dumps([operation_id(case), response.status_code]) + "\n")
