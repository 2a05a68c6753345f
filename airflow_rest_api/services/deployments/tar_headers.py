"""Check the extended headers of a tar file before `tarfile` parses them.

`tarfile` searches them with regular expressions that take quadratic time, up to Python 3.10.14, 3.11.9 and 3.12.5
(CVE-2024-6232): a header of some MiB stops the whole process, since the search holds the interpreter lock.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator

MOST_HEADER_BYTES = 64 * 1024
_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_TYPE_OFFSET = 156
_LENGTH = re.compile(rb"([1-9]\d{0,8}) ")
# No number in a header is as long: a time has about 20 digits, a size at most 20.
_LONG_NUMBER = re.compile(rb"\d{200}")


def require_harmless(data: bytes) -> None:
    """Raise `tarfile.ReadError` where a block could be an extended header that is malformed or too large.

    All blocks are checked, those of file contents as well: which blocks are headers is known only after parsing them.
    """
    for header in _extended_headers(data):
        if len(header) > MOST_HEADER_BYTES or _LONG_NUMBER.search(header) or not _is_well_formed(header):
            raise tarfile.ReadError("an extended header is malformed or too large")


def _extended_headers(data: bytes) -> Iterator[bytes]:
    """Yield the content of each block with the type of an extended header and a valid checksum."""
    for start in range(0, len(data), tarfile.BLOCKSIZE):
        content = start + tarfile.BLOCKSIZE
        if data[start + _TYPE_OFFSET : start + _TYPE_OFFSET + 1] in _TYPES:
            try:
                block = tarfile.TarInfo.frombuf(data[start:content], "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                continue
            yield data[content : content + max(0, block.size)]


def _is_well_formed(header: bytes) -> bool:
    """Return whether a header consists of records: `LENGTH KEYWORD=VALUE` and a newline (POSIX pax)."""
    position = 0
    while position < len(header):
        length = _LENGTH.match(header, position)
        if length is None:
            return False
        record = header[length.end() : position + int(length[1])]
        if b"=" not in record or not record.endswith(b"\n"):
            return False
        position += int(length[1])
    return position == len(header)
