"""Logs of instances: a row of files, each named after how many bytes had been written before it.

So a place in the log stays the same when files are added at its end and removed at its beginning, and no file is ever
renamed under a reader.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

from airflow_rest_api.supervision.folders import Folder

_NAME = re.compile(r"log\.(\d{1,18})")
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class LogPart(NamedTuple):
    """A part of a log: the bytes from ``offset`` on; those that follow begin at ``next_offset``.

    ``end`` is where the log ends now. Where files have been removed meanwhile, ``offset`` is beyond the one that was
    asked for.
    """

    content: bytes
    offset: int
    next_offset: int
    end: int


class LogWriter:
    """Writes a log, of which only its keeper does; whatever the disk says, it goes on, and loses what has no room."""

    def __init__(self, folder: Folder, *, most_bytes: int, files: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._files = files
        self._begin = max(starts(folder), default=0)
        self._descriptor: int | None = None
        self._size = 0
        self._open(self._begin)

    @property
    def end(self) -> int:
        """Where the next byte will stand."""
        return self._begin + self._size

    def write(self, content: bytes) -> None:
        """Append to the log."""
        with suppress(OSError):
            while content:
                if self._descriptor is None or self._size >= self._most_bytes:
                    self._turn()
                assert self._descriptor is not None
                room = self._most_bytes - self._size
                written = os.write(self._descriptor, content[:room] if room > 0 else content)
                self._size += written
                content = content[written:]

    def close(self) -> None:
        """Write no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _turn(self) -> None:
        """Go on in another file; while none can be made, in the same one."""
        if self._descriptor is not None and self._size == 0:
            return
        with suppress(OSError):
            self._open(self.end)
            for start in sorted(starts(self._folder))[: -self._files]:
                self._folder.remove(_name(start))

    def _open(self, begin: int) -> None:
        with suppress(OSError):
            descriptor = self._folder.open(_name(begin), _APPENDING)
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor, self._begin, self._size = descriptor, begin, os.fstat(descriptor).st_size


def starts(folder: Folder) -> list[int]:
    """Return where the files of the log begin."""
    found = (_NAME.fullmatch(name) for name in folder.names())
    return [int(match[1]) for match in found if match]


def newest(folder: Folder) -> str:
    """Return the name of the file in which the log ends."""
    return _name(max(starts(folder), default=0))


def read(folder: Folder, offset: int, most_bytes: int) -> LogPart:
    """Return what is at a place of the log, at most that much."""
    files = _files(folder)
    end = sum(files[-1]) if files else 0
    begin = min(max(offset, files[0][0] if files else 0), end)
    parts, at = [], begin
    for start, size in files:
        wanted = min(start + size - at, most_bytes - (at - begin))
        if start <= at and wanted > 0:
            parts.append(_read(folder, start, at - start, wanted))
            at += len(parts[-1])
    return LogPart(b"".join(parts), begin, at, end)


def tail(folder: Folder, lines: int, most_bytes: int) -> LogPart:
    """Return the last lines of the log, at most that many bytes of whole lines; one that is longer is cut."""
    files = _files(folder)
    end = sum(files[-1]) if files else 0
    part = read(folder, end - most_bytes, most_bytes)
    found = re.findall(rb"[^\n]*\n|[^\n]+", part.content)
    is_cut = part.offset > (files[0][0] if files else 0)
    kept = found[1:] if is_cut and len(found) > 1 else found
    content = b"".join(kept[-lines:]) if lines else b""
    return LogPart(content, part.next_offset - len(content), part.next_offset, end)


def _files(folder: Folder) -> list[tuple[int, int]]:
    """Return where each file of the log begins, and its size."""
    found = []
    for start in sorted(starts(folder)):
        with suppress(OSError):
            found.append(
                (start, os.stat(_name(start), dir_fd=folder.descriptor, follow_symlinks=False).st_size)
            )
    return found


def _read(folder: Folder, start: int, at: int, most_bytes: int) -> bytes:
    try:
        descriptor = folder.open(_name(start), os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, most_bytes, at)
    finally:
        os.close(descriptor)


def _name(start: int) -> str:
    return f"log.{start}"
