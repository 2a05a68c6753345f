"""Sinks: where the content of the parts of a form goes while it comes in."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from airflow_rest_api.services import errors
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.web.limits import BodyTooLarge

MAX_TEXT_BYTES = 64 * 1024
# What of a file stays in memory before it goes to the disk.
IN_MEMORY_BYTES = 1024 * 1024


class Text:
    """A part that is a text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._raw = bytearray()

    def take(self, data: bytes) -> None:
        """Take what came in; raises `Malformed` for too much."""
        self._raw += data
        if len(self._raw) > MAX_TEXT_BYTES:
            raise errors.Malformed(f"The field '/{self.name}' has more than {MAX_TEXT_BYTES} bytes.")

    def value(self) -> str:
        """Return the text; raises `Malformed` for one that is not UTF-8."""
        return decoded(bytes(self._raw), f"The field '/{self.name}'")


class File:
    """A part that is a file of at most ``most`` bytes: in memory while it is small, then on the disk."""

    def __init__(self, name: str, most: int, closing: ExitStack) -> None:
        """Open a file that is closed with ``closing``."""
        self._name = name
        self._most = most
        self._size = 0
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._file = cast("BinaryIO", closing.enter_context(SpooledTemporaryFile(IN_MEMORY_BYTES)))  # noqa: SIM115

    def take(self, data: bytes) -> None:
        """Take what came in; it is written by `store`. Raises `BodyTooLarge`."""
        self._size += len(data)
        if self._size > self._most:
            raise BodyTooLarge(self._most)
        self._pending.append(data)

    async def store(self) -> None:
        """Write what was taken, off the event loop where that touches the disk; raises `InsufficientStorage`."""
        if self._size <= IN_MEMORY_BYTES:
            self._write()
        else:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        pending, self._pending = self._pending, []
        try:
            for data in pending:
                self._hash.update(data)
                self._file.write(data)
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoomForUpload from fault
            raise

    def value(self) -> Upload:
        """Return the file, of which everything was stored."""
        return Upload(self._name, self._size, self._hash.hexdigest(), self._file)


class NoRoomForUpload(errors.InsufficientStorage):
    """The disk on which files wait for the end of their request is full."""

    title = "No room for the upload"

    def __init__(self) -> None:
        super().__init__(
            "There is no room for the file where the service keeps what comes in; nothing was changed."
        )


Sink = Text | File


def decoded(raw: bytes, what: str) -> str:
    """Return a text; raises `Malformed` that says ``what`` is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.Malformed(f"{what} is not UTF-8.") from None
