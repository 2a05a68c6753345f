"""Connection tests: a connection is tried with its hook, as Airflow tries it, in a process that can do no harm.

Airflow's own API does it in its server: with the database, the keys and the files of that, for as long as the hook
likes, and at any address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.configuration import conf
from airflow.utils.strings import get_random_string

from airflow_rest_api.sandbox import box
from airflow_rest_api.sandbox.addresses import Opening
from airflow_rest_api.sandbox.box import DIAL_SECONDS, Sandbox, SandboxBusy, SandboxUnavailable
from airflow_rest_api.sandbox.replies import Reply
from airflow_rest_api.services import errors, weak_sandbox
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.connections import airflows_hosts, connection_fields, tested_connection
from airflow_rest_api.services.task_instances.redactor import Redactor

Entry = dict[str, Any]

_MOST_MESSAGE = 2000
# All but ends of lines and tabs, which messages of drivers have.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SENTENCES = {
    "timeout": f"The test did not end within {DIAL_SECONDS:g} seconds.",
    "memory": "The test needed more than 2 GiB of memory.",
    "output": "The test wrote more than 4 MiB of output.",
    "crash": "The process of the test crashed.",
}
_EXIT = "The process of the test ended itself."


class ConnectionTestsOff(errors.Denied):
    """Airflow's configuration does not let connections be tested."""

    title = "Testing connections is switched off"

    def __init__(self) -> None:
        super().__init__(
            "Testing connections is disabled: [core] test_connection of Airflow's configuration is not 'Enabled'."
        )


class AddressNotAllowed(errors.Denied):
    """The connection leads to an address that tests do not dial."""

    title = "The address must not be dialled"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The host '{host}' is, or stands for, a loopback, link-local or metadata address, this machine, or"
            " Airflow's own database or broker: a test dials those only where [rest_api]"
            " test_connection_allowed_hosts has them. Nothing was dialled."
        )


class TestersBusy(errors.Unavailable):
    """As many connections are being tested as may be at once."""

    title = "Other connections are being tested"

    def __init__(self) -> None:
        super().__init__(
            "Too many connections are being tested at present; try again shortly.", retry_after=5
        )


class TesterUnavailable(errors.Unavailable):
    """No process can be started here that tests a connection, or none that could be kept from dialling."""

    title = "Connections cannot be tested"

    def __init__(self) -> None:
        super().__init__(
            "No process could be started in which connections are tested; try again shortly.", retry_after=10
        )


def test_connection(
    body: Mapping[str, Any], *, caller: Caller, sandbox: Sandbox, allowed: Sequence[Opening]
) -> Entry:
    """Test a connection, and return whether it works and what its hook says of that.

    Raises `ConnectionTestsOff`, `AddressNotAllowed`, `TestersBusy`, `TesterUnavailable`,
    `weak_sandbox.SandboxTooWeak`, and what `connection_fields.require_sound` and `tested_connection.fields` raise.
    """
    connection_fields.require_sound(body)
    if conf.get("core", "test_connection", fallback="Disabled").lower().strip() != "enabled":
        raise ConnectionTestsOff
    fields = tested_connection.fields(body, caller)
    redactor = Redactor(tested_connection.secrets(fields), least=1)
    reply = _dialled({"conn_id": get_random_string(), **fields}, sandbox, allowed)
    if reply.refused is not None:
        raise AddressNotAllowed(_readable(reply.refused, redactor))
    return {"status": bool(reply.status), "message": _message(reply, redactor)}


def _dialled(connection: Entry, sandbox: Sandbox, allowed: Sequence[Opening]) -> Reply:
    openings = [pinned for opening in allowed for pinned in opening.pinned()]
    try:
        return sandbox.dial(connection, openings=openings, own=airflows_hosts.addresses())
    except SandboxBusy:
        raise TestersBusy from None
    except box.SandboxTooWeak:
        raise weak_sandbox.SandboxTooWeak from None
    except SandboxUnavailable as fault:
        raise TesterUnavailable from fault


def _message(reply: Reply, redactor: Redactor) -> str:
    told = reply.message if reply.reason == "done" else _SENTENCES.get(reply.reason, _EXIT)
    message = _readable(told, redactor)
    if reply.denied and not reply.status:
        return f"{message} (not allowed to be dialled: {', '.join(reply.denied)})"
    return message


def _readable(text: str, redactor: Redactor) -> str:
    # Redacted as it came: what is taken out of a secret first would hide it.
    return _CONTROL.sub(" ", redactor.text(text))[:_MOST_MESSAGE]
