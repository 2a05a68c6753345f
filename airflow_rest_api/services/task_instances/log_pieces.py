"""Pieces of logs: the messages of one try as lines of JSON, read on from where the last piece ended.

The lines are those of Airflow's own stream of a log, one message on each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.utils.log.file_task_handler import (
    FileTaskHandler,
    StructuredLogMessage,
    _log_stream_to_parsed_log_stream,
)
from airflow.utils.log.log_reader import TaskLogReader

from airflow_rest_api.services.sources import Piece

if TYPE_CHECKING:
    from airflow.utils.log.file_task_handler import LogMetadata

# How much of a file is read at once, and as how many messages what comes from elsewhere is taken.
PIECE_BYTES, PIECE_MESSAGES = 128 * 1024, 500
# A longer line is told in parts: nobody's memory is for one line.
LONGEST_LINE_BYTES = 4 * 1024 * 1024
# Asking a worker, or a store, for a log reads it from its beginning each time.
ELSEWHERE_SECONDS = 3.0
# How long a file is waited for before the log is asked for elsewhere.
FIRST_LINE_SECONDS = 10.0
_HEAD, _FOOT = "::group::Log message source details", "::endgroup::"


@dataclass
class _File:
    """One file of a log, and how far it has been read; it is not kept open."""

    path: Path
    offset: int = 0
    pending: bytes = field(default=b"", repr=False)

    def has_more(self) -> bool:
        return self.path.stat().st_size != self.offset

    def read(self) -> list[str]:
        """Return the next whole lines; a file that became shorter is read anew."""
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self.offset:
                self.offset, self.pending = 0, b""
            file.seek(self.offset)
            read = file.read(PIECE_BYTES)
        self.offset += len(read)
        whole, separator, self.pending = (self.pending + read).rpartition(b"\n")
        if not separator and len(self.pending) > LONGEST_LINE_BYTES:
            whole, self.pending = self.pending, b""
        return whole.decode(errors="replace").split("\n")

    def rest(self) -> list[str]:
        """Return what stands after the last whole line."""
        rest, self.pending = self.pending, b""
        return [rest.decode(errors="replace")]


class Pieces:
    """The log of one try: from files on this host as long as it is written here, or through Airflow's reader.

    ``find`` returns the try as it is stored now, None when it is gone.
    """

    def __init__(
        self, reader: TaskLogReader, try_number: int, find: Callable[[], Any], already: int = 0
    ) -> None:
        self._reader = reader
        self._try_number = try_number
        self._find = find
        self._skip = already
        self._told = already
        self._files: dict[str, _File] = {}
        self._base: Path | None = None
        self._last: StructuredLogMessage | None = None
        self._messages: Iterator[StructuredLogMessage] | None = None
        self._place: dict[str, Any] = {"log_pos": already} if already else {}
        self._asked = 0.0
        self._made = time.monotonic()
        self.is_local = False
        self._is_elsewhere = False

    def has_more(self) -> bool:
        """Tell whether `next` may bring something, by the sizes of the files or the time since it was tried."""
        if not self.is_local:
            return time.monotonic() - self._asked >= ELSEWHERE_SECONDS
        try:
            return any(file.has_more() for file in self._files.values()) or bool(self._new_paths())
        except FileNotFoundError:
            return True

    def next(self, *, is_here: bool, is_over: bool) -> Piece:
        """Return the next piece; a try that ``is_here`` writes on this host, if it is not over."""
        if is_here and not self._is_elsewhere:
            piece = self._from_files()
            if piece is not None:
                return piece
            if not is_over and self._may_come():
                return Piece(b"", more=False)
        self._go_elsewhere()
        return self._from_elsewhere()

    def _may_come(self) -> bool:
        """Tell whether a file may still appear: a process writes its first line some time after it has begun."""
        is_in_files = isinstance(self._reader.log_handler, FileTaskHandler) and not self.is_local
        return is_in_files and time.monotonic() - self._made < FIRST_LINE_SECONDS

    def rest(self) -> bytes:
        """Return what stands after the last whole line of the files."""
        return b"".join(self._lines(file.rest()) for file in self._files.values() if self.is_local)

    def close(self) -> None:
        """Let go of what Airflow's reader keeps open."""
        close = getattr(self._messages, "close", None)
        if close is not None:
            close()

    def _from_files(self) -> Piece | None:
        """Return a piece of the files; None where there are none, or one is gone.

        Stores take a file away when they have it: what is missing comes from there.
        """
        try:
            return self._read_files()
        except FileNotFoundError:
            return None

    def _read_files(self) -> Piece | None:
        head = b""
        for path in self._new_paths():
            self._files[path] = _File(Path(path))
            if not self.is_local and not self._told:
                head = self._head()
            self.is_local = True
        if not self._files:
            return None
        content = head + b"".join(self._lines(file.read()) for file in self._files.values())
        return Piece(content, more=any(file.has_more() for file in self._files.values()))

    def _head(self) -> bytes:
        events = (_HEAD, *self._files, _FOOT)
        return b"".join(_line(StructuredLogMessage(event=event)) for event in events)

    def _new_paths(self) -> list[str]:
        """Return the files of the try that were not there before: a trigger, too, writes one beside the task's."""
        base = self._worker_path()
        if base is None or not base.parent.is_dir():
            return []
        root = os.path.realpath(self._reader.log_handler.local_base)
        found = (os.path.realpath(path) for path in sorted(base.parent.glob(base.name + "*")))
        return [path for path in found if path.startswith(root + os.sep) and path not in self._files]

    def _worker_path(self) -> Path | None:
        handler = self._reader.log_handler
        if self._base is None and isinstance(handler, FileTaskHandler):
            found = self._find()
            if found is not None:
                name = handler._render_filename(found, self._try_number)
                self._base = Path(handler.local_base, name)
        return self._base

    def _lines(self, lines: list[str]) -> bytes:
        """Return messages as lines; what a token told of is left out, and what is said twice at the same time."""
        made = []
        for _, _, message in _log_stream_to_parsed_log_stream(line for line in lines):
            if message == self._last and message.timestamp is not None:
                continue
            self._last = message
            if self._skip:
                self._skip -= 1
                continue
            self._told += 1
            made.append(_line(message))
        return b"".join(made)

    def _go_elsewhere(self) -> None:
        self._is_elsewhere, self.is_local = True, False
        if self._told:
            self._place.setdefault("log_pos", self._told)

    def _from_elsewhere(self) -> Piece:
        if self._messages is None:
            is_time = time.monotonic() - self._asked >= ELSEWHERE_SECONDS
            found = self._find() if is_time else None
            if found is None:
                return Piece(b"", more=False)
            self._begin(found)
        assert self._messages is not None
        taken = list(islice(self._messages, PIECE_MESSAGES))
        self._asked = time.monotonic()
        if len(taken) < PIECE_MESSAGES:
            self._messages = None
        return Piece(b"".join(map(_line, taken)), more=self._messages is not None)

    def _begin(self, found: Any) -> None:
        """Ask Airflow's reader for what came since it was asked last."""
        before = self._place.get("log_pos", 0)
        messages, place = self._reader.read_log_chunks(
            found, self._try_number, cast("LogMetadata", dict(self._place))
        )
        self._messages = iter(messages)
        self._place = {name: value for name, value in place.items() if name != "end_of_log"}
        # A worker that does not answer for once has not unsaid anything.
        if "log_pos" in self._place:
            self._place["log_pos"] = max(before, self._place["log_pos"])


def _line(message: StructuredLogMessage) -> bytes:
    return f"{message.model_dump_json()}\n".encode()
