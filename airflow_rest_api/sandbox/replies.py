"""Replies: what came of the test of a connection.

As with verdicts, what comes out of the sandbox is read as a message of a stranger, of whom only the guard is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What came of a test.

    ``reason`` is `done`, or what ended it: `timeout`, `memory`, `output`, `exit`, `crash`. ``status`` and ``message``
    are the hook's, None and empty where it has not come to that; ``refused`` is the host of the connection that may
    not be dialled, ``denied`` why further addresses were not.
    """

    reason: str
    status: bool | None = None
    message: str = ""
    refused: str | None = None
    denied: tuple[str, ...] = ()


def read(answer: Mapping[str, Any]) -> Reply | None:
    """Read the answer of a warden; None where the process could not be guarded, and has tested nothing."""
    denied = tuple(str(reason) for reason in answer.get("denied", ()))
    reason = str(answer["reason"])
    if reason != "done":
        return Reply(reason, denied=denied)
    said = _object(answer.get("result"))
    if said.get("unguarded") is True:
        return None
    if isinstance(said.get("refused"), str):
        return Reply(reason, refused=said["refused"], denied=denied)
    status, message = said.get("status"), said.get("message")
    if not isinstance(status, bool) or not isinstance(message, str):
        return Reply("exit", denied=denied)
    # Half of a surrogate pair is no text that an answer can be written with.
    return Reply(reason, status, message.encode("utf-8", "replace").decode(), denied=denied)


def _object(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
