"""Logs: every record of this service is made safe before a handler writes it, whoever set the handlers up.

A record is one line: what a caller sent can neither end it nor speak to a terminal. Only a traceback has lines of its
own, one for each place in the code, because nobody reads it otherwise; the message of its exception is one of them.
"""

from __future__ import annotations

import logging
import re
import traceback
from types import TracebackType
from typing import Any, Literal

from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter

from airflow_rest_api.security.redaction import Redactor

_PACKAGES = ("airflow_rest_api", "connexion")
_ACCESS = "uvicorn.access"
# Filters, unlike handlers, survive that uvicorn configures its loggers, and it has no others than these.
_OF_UVICORN = ("uvicorn", _ACCESS, "uvicorn.asgi", "uvicorn.error")
# C0, C1, the separators of lines, what turns the direction of writing, and what cannot be written in UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Where the next line of one place in the code begins, within the frame of a group of exceptions or without.
_NEXT_LINE = re.compile(r"\n(?=[ |]* {4})")

_Fault = tuple[type[BaseException], BaseException, TracebackType | None]


def install(redactor: Redactor, *, standalone: bool) -> None:
    """Make all records safe that this service logs from now on, and those of its own server.

    What was installed before is replaced: the latest application's secrets are known.
    """
    safety = Safety(redactor)
    for name in _PACKAGES:
        _attach(logging.getLogger(name), safety)
    for name in _OF_UVICORN if standalone else ():
        logger = logging.getLogger(name)
        for former in [entry for entry in logger.filters if isinstance(entry, Safety)]:
            logger.removeFilter(former)
        logger.addFilter(safety)


def of_server() -> dict[str, Any]:
    """Return how uvicorn is to configure its loggers: as ever, but after Airflow, which takes their handlers away.

    A worker process configures them before it imports the application. With a class of this module in the
    configuration it has to import this module, and so Airflow, first.
    """
    formatters: Any = LOGGING_CONFIG["formatters"]
    loggers: Any = LOGGING_CONFIG["loggers"]
    return {
        **LOGGING_CONFIG,
        "formatters": {**formatters, "access": {**formatters["access"], "()": _AccessFormatter}},
        # Airflow has also cut it off from the logger above it, which has the handler.
        "loggers": {**loggers, "uvicorn.error": {**loggers["uvicorn.error"], "propagate": True}},
    }


class _AccessFormatter(AccessFormatter):
    """Uvicorn's own."""


def _attach(logger: logging.Logger, safety: Safety) -> None:
    for former in [entry for entry in logger.handlers if isinstance(entry, _Post)]:
        logger.removeHandler(former)
    logger.addHandler(_Post(safety))


class _Post(logging.Handler):
    """Stands where all records of a package come past: on their way to the root's handlers.

    A logger's own filters would not do, they never see what its children log.
    """

    def __init__(self, safety: Safety) -> None:
        super().__init__()
        self.addFilter(safety)

    def emit(self, record: logging.LogRecord) -> None:
        """Write nothing: the record was changed on its way in."""


class Safety(logging.Filter):
    """Lets every record pass, without secrets and control characters."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> Literal[True]:
        """Change the record in place, where there is something to change."""
        if record.name == _ACCESS and isinstance(record.args, tuple):
            record.args = tuple(self._of_request(part) for part in record.args)
            return True
        told = _message(record)
        lines = [self._line(told.rstrip("\n"))]
        if record.exc_info and record.exc_info[1] is not None:
            lines += self._traceback(record.exc_info)
        if lines != [told]:
            # Formatters have their own ways with tracebacks and colours, all of which begin at the raw values.
            record.msg, record.args = "\n".join(lines), ()
            record.exc_info = record.exc_text = None
            record.__dict__.pop("color_message", None)
        return True

    def _of_request(self, part: object) -> object:
        """Return a part of uvicorn's line without the query: it may hold a token, or what a run is given."""
        return self._line(part.partition("?")[0]) if isinstance(part, str) else part

    def _line(self, text: str) -> str:
        return _UNSAFE.sub(_escaped, self._redactor.text(text))

    def _traceback(self, fault: _Fault) -> list[str]:
        chunks = [chunk.strip("\n") for chunk in traceback.TracebackException(*fault).format()]
        return [self._line(line) for chunk in chunks for line in _lines(chunk)]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # The handlers would write message and arguments to standard error, as they are.
        return str(record.msg)


def _lines(chunk: str) -> list[str]:
    """Return the lines of one place in the code; anything else is one line."""
    return _NEXT_LINE.split(chunk) if chunk.lstrip(" |").startswith('File "') else [chunk]


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
