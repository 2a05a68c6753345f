"""Lines: the log of a task as people read it, in place of the JSON that Airflow keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from datetime import datetime, timezone
from typing import Any

import structlog

# What the task's process adds to each line, and every reader of the log knows.
_KNOWN = {
    *("timestamp", "level", "event", "logger", "logger_name", "filename", "lineno", "loc", "error_detail"),
    *("ti_id", "dag_id", "task_id", "run_id", "try_number", "map_index", "ti"),
}


class _Output:
    """Writes whole lines to a descriptor, for structlog."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, message: str) -> None:
        data = f"{message}\n".encode("utf-8", "replace")
        while data:
            data = data[os.write(self._descriptor, data) :]

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = msg


def logger(descriptor: int) -> Any:
    """Return a logger for what the supervisor hears from the task."""
    processors: list[Any] = [structlog.stdlib.add_log_level, _line]
    return structlog.wrap_logger(
        _Output(descriptor), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    ).bind()


def _line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    moment = event.get("timestamp")
    if not isinstance(moment, datetime):
        moment = datetime.now(timezone.utc)
    further = "".join(f" {name}={value!r}" for name, value in event.items() if name not in _KNOWN)
    text = f"{moment.isoformat(timespec='milliseconds')} {event['level'].upper()} {event['event']}{further}"
    return "\n".join([text, *map(_trace, reversed(event.get("error_detail") or ()))])


def _trace(fault: Mapping[str, Any]) -> str:
    frames = [
        f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        for frame in fault.get("frames", ())
    ]
    return "\n".join(["Traceback:", *frames, f"{fault.get('exc_type')}: {fault.get('exc_value')}"])
