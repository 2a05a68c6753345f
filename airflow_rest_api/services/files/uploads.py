"""Uploads: files that came in with a request, as the services get them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

# What is read at once: enough that a disk is busy, little enough that many readers fit into memory.
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Upload:
    """One file of a form, open until its request ends.

    ``name`` is what the client called the file: nobody has looked at it, and it may well be `../../etc/passwd`.
    ``size`` is in bytes; ``sha256``, in hexadecimal digits, was computed while the file came in.
    """

    name: str
    size: int
    sha256: str
    file: BinaryIO = field(repr=False, compare=False)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content from its start, as often as it is asked for."""
        offset = 0
        while offset < self.size:
            # Two readers that take turns do not skip each other's parts.
            self.file.seek(offset)
            chunk = self.file.read(CHUNK_BYTES)
            offset += len(chunk)
            yield chunk

    def read(self) -> bytes:
        """Return the whole content; for files that are known to be small."""
        return b"".join(self.chunks())
