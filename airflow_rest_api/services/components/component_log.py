"""Component logs: the last lines that an instance has written, and what it writes until it ends.

Only whole lines are told, and none from its middle on: what takes secrets out of them has to see all of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from airflow_rest_api.services import errors
from airflow_rest_api.services.components.places import registry
from airflow_rest_api.services.components.starting import named
from airflow_rest_api.services.sources import Piece, Source
from airflow_rest_api.supervision.registry import ENDED, LogPart, Unknown

# How much is told at once, and read of a log that is followed.
MOST_BYTES, PIECE_BYTES = 1 << 20, 128 << 10
# A longer line is left out, and said to be: nobody's memory is for one line.
LONGEST_LINE_BYTES = 1 << 20
Key = tuple[str, str | None]

_TOO_LONG = f"(A line of more than {LONGEST_LINE_BYTES} bytes is left out.)".encode()
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_BEYOND = 1 << 62


class ComponentNeverStarted(errors.NotFound):
    """This service has not started the component on this host, so nobody kept what it wrote."""

    title = "The component has no log"

    def __init__(self, component_name: str, instance: str | None) -> None:
        super().__init__(
            f"{named(component_name, instance)} was never started on this host by this service, so there is no log;"
            " start_component starts it.",
            component_name=component_name,
            instance_name=instance,
        )


class Tail(NamedTuple):
    """Whole lines at the end of a log; what follows them begins at ``next_offset``."""

    content: bytes
    next_offset: int


def tail(key: Key, lines: int) -> Tail:
    """Return the last lines, at most `MOST_BYTES`; one that is not written to its end yet is none.

    Raises `ComponentNeverStarted`.
    """
    try:
        has_ended = _has_ended(key)
        # One more than asked for: the last one may not be whole.
        part = registry().read_log(*key, tail_lines=lines + 1, most_bytes=MOST_BYTES)
        whole = part.content[_first_line(key, part) :]
    except Unknown as fault:
        raise ComponentNeverStarted(*key) from fault
    pending = b"" if has_ended else whole.rpartition(b"\n")[2]
    found = lines_of(whole[: len(whole) - len(pending)])
    return Tail(b"".join(found[-lines:] if lines else []), part.next_offset - len(pending))


class ComponentLogSource(Source):
    """The log of an instance, from its last lines on until the instance has ended."""

    def __init__(self, key: Key, lines: int) -> None:
        """Begin with so many of the lines that there are. Raises `ComponentNeverStarted`."""
        self._key = key
        self._first, self._offset = tail(key, lines)
        self._pending = b""
        self._skips = False
        self._is_over = False

    def take(self) -> Piece:
        """Return the next lines; the last ones when the instance had ended before they were looked for."""
        was_over = self._is_over
        content, more = self._read()
        if content or more:
            return Piece(content, more=more or was_over)
        if was_over:
            rest, self._pending = self._pending, b""
            return Piece(as_messages([rest] if rest else []), more=False, is_last=True)
        self._is_over = _is_over(self._key)
        return Piece(b"", more=self._is_over)

    def close(self) -> None:
        """Let go of nothing: the log is opened for each piece."""

    @classmethod
    def look(cls, sources: list[ComponentLogSource]) -> list[ComponentLogSource]:
        """Return those whose log has grown, or whose instance has ended."""
        found = {key: _end(key) for key in {source._key for source in sources}}
        return [source for source in sources if found[source._key] != source._offset]

    def _read(self) -> tuple[bytes, bool]:
        """Return the lines that are there now, and whether there are more at once."""
        first, self._first = as_messages(lines_of(self._first)), b""
        try:
            part = registry().read_log(*self._key, offset=self._offset, most_bytes=PIECE_BYTES)
        except Unknown:
            return first, False
        lines = self._taken(part)
        return first + as_messages(lines), part.next_offset < part.end

    def _taken(self, part: LogPart) -> list[bytes]:
        """Return the whole lines of what was read; what was removed before it could be is told of."""
        told = []
        if part.offset > self._offset:
            told.append(
                f"({part.offset - self._offset} bytes of the log have been removed meanwhile.)".encode()
            )
            self._pending, self._skips = b"", True
        self._offset = part.next_offset
        whole, end, self._pending = (self._pending + part.content).rpartition(b"\n")
        lines = whole.split(b"\n") if end else []
        if self._skips and lines:
            self._skips = False
            lines = lines[1:]
        if self._skips or len(self._pending) > LONGEST_LINE_BYTES:
            told += [] if self._skips else [_TOO_LONG]
            self._pending, self._skips = b"", True
        return told + lines


def lines_of(content: bytes) -> list[bytes]:
    """Return the lines of a text with their ends; which a line feed alone ends."""
    return _LINES.findall(content)


def as_messages(lines: Iterable[bytes]) -> bytes:
    """Return lines as messages like those of Airflow's logs, one on each line; their time is part of the text."""
    return b"".join(_message(line) for line in lines)


def _message(line: bytes) -> bytes:
    event = line.rstrip(b"\r\n").decode(errors="replace")
    return orjson.dumps({"timestamp": None, "event": event}) + b"\n"


def _first_line(key: Key, part: LogPart) -> int:
    """Return where in a part the first line begins that is whole."""
    if part.offset == 0:
        return 0
    before = registry().read_log(*key, offset=part.offset - 1, most_bytes=1)
    if (before.offset, before.content) == (part.offset - 1, b"\n"):
        return 0
    return part.content.find(b"\n") + 1 or len(part.content)


def _end(key: Key) -> int | None:
    """Return where the log ends now, None where its instance has ended."""
    if _is_over(key):
        return None
    try:
        return registry().read_log(*key, offset=_BEYOND, most_bytes=0).end
    except Unknown:
        return None


def _is_over(key: Key) -> bool:
    try:
        return _has_ended(key)
    except Unknown:
        return True


def _has_ended(key: Key) -> bool:
    """Tell whether nothing of the instance is there that could write. Raises `Unknown`."""
    found = registry().find(*key)
    if found is None:
        raise Unknown(key[0])
    return found.state in ENDED and not found.processes
