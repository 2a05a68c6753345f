"""Starting: `kerberos`, `worker`, `flower`, `scheduler` and `serve_logs`, which ran on in the background.

The plugin had a shell start them and told its exit code; here it is that of a shell which would have noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.failures import PRINTED, Printed
from airflow_rest_api.services import component
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.settings import Settings

STARTED, FAILED = "exit_code: 0", "exit_code: 1"
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def start(
    call: Call,
    component_name: str,
    options: Mapping[str, Any],
    *,
    caller: Caller,
    background: Background,
    settings: Settings,
    warning: str = "",
) -> Json:
    """Start a component with the options that are not None, and answer as soon as its process is there."""
    wishes = {name: value for name, value in options.items() if value is not None}
    try:
        component.start_component(
            component_name,
            query={"instance": None, "dry_run": False},
            body={"options": wishes},
            caller=caller,
            background=background,
            settings=settings,
        )
    except PRINTED as refusal:
        raise Printed(refusal.detail, FAILED) from refusal
    return call.printed(STARTED, warning)


def number(argument: str, text: str | None) -> int | None:
    """Return a whole number, as the old command line read it; raises `Printed`."""
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        raise Printed(f"error: argument --{argument}: invalid int value: {text!r}", FAILED)
    return int(text)


def rounds(text: str | None) -> int | None:
    """Return after how many rounds a scheduler ends, None for never; raises `Printed`."""
    found = number("num_runs", text)
    return None if found == -1 else found


def names(text: str | None) -> list[str] | None:
    """Return the names that stand between commas."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def not_taken(**arguments: str | None) -> str:
    """Tell which of these arguments were sent, that a call cannot give: they name a file, or hold a password."""
    given = [name for name, value in arguments.items() if value is not None]
    return "\n".join(f"The argument '{name}' is not taken from a call and was ignored." for name in given)
