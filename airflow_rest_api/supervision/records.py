"""Records: what is known of an instance, written so that a reader sees the last or the one before, never half of one.

A record has always the same size, and the next one is written over the last but one before the two change places: a
full disk has room for that.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from airflow_rest_api.supervision.folders import Folder
from airflow_rest_api.supervision.processes import Mark

State = Literal["starting", "running", "backing_off", "stopping", "exited", "failed"]
ENDED = frozenset({"exited", "failed"})

_NAME, _SPARE = "record", "record.spare"
_SIZE = 16 << 10
# A reader that is overtaken twice while it reads has been so by another record each time.
_ATTEMPTS = 5
_LIBC = ctypes.CDLL(None, use_errno=True)
_RENAME_EXCHANGE = 2


@dataclass(frozen=True)
class Record:
    """An instance as its keeper knows it: ``marker`` names the start, ``place`` where the marks mean something."""

    marker: str
    place: str
    state: State
    argv: tuple[str, ...]
    restart: bool
    grace_seconds: float
    keeper: Mark
    guardian: Mark
    mark: Mark | None = None
    started_at: str | None = None
    restarts: int = 0
    exit_code: int | None = None
    # Where the log stood when it was started, in bytes since its first.
    log_offset: int = 0
    whole_group: bool = True
    log_bytes: int = 10 << 20
    log_files: int = 5
    # How often it ended soon after it was started, the last times in a row.
    short_lives: int = 0
    # The last process that it was, whose session may have others still.
    last: Mark | None = None
    # Whether it ends because it was asked to.
    is_asked: bool = False

    def as_bytes(self) -> bytes:
        """Return the record as it is written."""
        text = json.dumps(asdict(self)).encode()
        whole = text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"
        if len(whole) > _SIZE:
            raise ValueError("The record is too long.")
        return whole.ljust(_SIZE, b"\n")


def read(folder: Folder) -> Record | None:
    """Return the record of an instance, None where there is none, or none that can be used."""
    for _ in range(_ATTEMPTS):
        try:
            descriptor = folder.open(_NAME, os.O_RDONLY)
        except OSError:
            return None
        try:
            written = os.pread(descriptor, _SIZE, 0)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        text, _, rest = written.partition(b"\n")
        if rest.strip() == hashlib.sha256(text).hexdigest().encode():
            return _of(text)
    return None


def is_there(folder: Folder) -> bool:
    """Tell whether there is a record, without reading it."""
    try:
        os.stat(_NAME, dir_fd=folder.descriptor, follow_symlinks=False)
    except OSError:
        return False
    return True


def write(folder: Folder, record: Record) -> None:
    """Write the record of an instance, and force it to the disk; raises `OSError`, and leaves the last one then."""
    _fill_spare(folder, record.as_bytes())
    if not _exchanged(folder.descriptor):
        os.replace(_SPARE, _NAME, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
        # The next one needs room as well.
        with suppress(OSError):
            _fill_spare(folder, record.as_bytes())
    os.fsync(folder.descriptor)


def _fill_spare(folder: Folder, content: bytes) -> None:
    try:
        descriptor = folder.open(_SPARE, os.O_WRONLY)
    except OSError:
        folder.remove(_SPARE)
        descriptor = folder.open(_SPARE, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        if os.pwrite(descriptor, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchanged(folder: int) -> bool:
    """Let the two files change places; False where there is no first one, or the file system knows no such thing."""
    # Python has no function for it, glibc has had one since 2.28.
    rename = getattr(_LIBC, "renameat2", None)
    if rename is None:
        return False
    return bool(rename(folder, _SPARE.encode(), folder, _NAME.encode(), _RENAME_EXCHANGE) == 0)


def _of(text: bytes) -> Record | None:
    try:
        told = json.loads(text)
        marks = {name: Mark(*map(int, told[name])) for name in ("keeper", "guardian")}
        maybe = {name: Mark(*map(int, told[name])) if told[name] else None for name in ("mark", "last")}
        if told["started_at"] is not None:
            datetime.fromisoformat(told["started_at"])
        return Record(**{**told, **marks, **maybe, "argv": tuple(told["argv"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
