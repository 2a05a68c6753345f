"""Downloads: files as answers, sent while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from typing import BinaryIO

from airflow_rest_api.services.files.uploads import CHUNK_BYTES


class DownloadCutOff(Exception):
    """The file became shorter while it was sent."""


@dataclass(frozen=True)
class Download:
    """The content of one open file; whoever answers with it closes it.

    ``name`` is what a client may call the file; ``version`` is another text whenever the content is another, for the
    entity tag.
    """

    name: str
    size: int
    version: str
    file: FileIO = field(repr=False, compare=False)

    @classmethod
    def of(cls, file: BinaryIO, name: str) -> Download:
        """Return the content of an open file, which the caller may close: this has a descriptor of its own."""
        own = FileIO(os.dup(file.fileno()))
        found = os.fstat(own.fileno())
        version = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
        return cls(name, found.st_size, version, own)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content, as much as there was; raises `DownloadCutOff`."""
        offset = 0
        while offset < self.size:
            chunk = os.pread(self.file.fileno(), min(CHUNK_BYTES, self.size - offset), offset)
            if not chunk:
                raise DownloadCutOff(self.name)
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the file."""
        self.file.close()
