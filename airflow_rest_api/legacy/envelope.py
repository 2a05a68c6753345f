"""The envelope in which Clairvoyant's plugin answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any


def ok(name: str, output: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Wrap what a call has to say."""
    now = format_datetime(datetime.now(timezone.utc), usegmt=True)
    return {
        "arguments": {"api": name, **(arguments or {})},
        "post_arguments": {},
        "call_time": now,
        "response_time": now,
        "http_response_code": 200,
        "output": output,
        "status": "OK",
    }
