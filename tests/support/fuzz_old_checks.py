"""Checks of our own that schemathesis runs beside its own over the old calls."""

from __future__ import annotations

import schemathesis

from tests.support import fuzz_record

fuzz_record.register()

# These wait until runs or tasks have ended, which nobody runs on this server.
WAITS = {"run", "backfill", "test"}
NOWHERE = "no_such_dag"
# Of each argument in an address, in characters, of which each may take twelve bytes.
LONGEST = 1_000


@schemathesis.hook
def before_call(_context, case, _given) -> None:
    """Let nobody wait for a run: where one would, the DAG is another one that is not there."""
    if isinstance(case.query, dict):
        # A server refuses a head of more than 64 KiB before it is read, in the words of HTTP.
        case.query.update(
            {name: value[:LONGEST] for name, value in case.query.items() if isinstance(value, str)}
        )
    if case.operation.path.strip("/") in WAITS:
        for arguments in (case.query, case.body):
            if isinstance(arguments, dict) and arguments.get("dag_id"):
                arguments["dag_id"] = NOWHERE


@schemathesis.check
def every_answer_is_of_one_of_the_dialects(ctx, response, case) -> None:
    """Whatever was sent, the answer is JSON in one of the forms that the old clients can read."""
    told = response.json() if response.content else {}
    if "call_time" in told:
        word = "OK" if response.status_code == 200 else "ERROR"
        assert (told["status"], told["http_response_code"]) == (word, response.status_code), told
    elif response.status_code == 200:
        assert told.get("status") == "success", told
    elif response.status_code != 405:
        assert list(told) in (["error"], ["msg"]), told
