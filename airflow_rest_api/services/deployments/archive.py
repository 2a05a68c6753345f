"""Archives: a zip or tar.gz that a caller sent, read entry by entry into memory, and never unpacked by its own word.

What counts is what is really in there: sizes that are announced are not believed, and nothing but plain files with
plain names is taken.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments import tar_headers
from airflow_rest_api.services.files import confined

MOST_ENTRIES = 10_000
MOST_DEPTH = 20
_CHUNK = 64 * 1024
# What tar adds to each entry: its header, and the filling of its last block.
_TAR_OVERHEAD = 2 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# The last record of a zip, and how far from its end it begins at the most: a comment may follow.
_END, _MOST_END = b"PK\x05\x06", 22 + 0xFFFF
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)
# What other systems put into archives by themselves, and Python beside its modules.
_LITTER = frozenset({"__MACOSX", ".DS_Store", "__pycache__"})


class ArchiveRefused(errors.Unprocessable):
    """The archive holds something that is not deployed, or is none."""

    title = "The archive is refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The archive {reason}; nothing was stored.")


class _Budget:
    """How many bytes may still come out of an archive."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ArchiveRefused(f"holds more than {self._most} bytes")


def unpacked(file: BinaryIO, *, most_bytes: int) -> dict[str, bytes]:
    """Return the files of an archive by their paths in there, at most `MOST_ENTRIES` with ``most_bytes`` together.

    Raises `ArchiveRefused` for anything but plain files with plain, different names, and for what is broken.
    """
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head[:2] == b"\x1f\x8b":
        read = _tar
    elif head[:2] == b"PK":
        read = _zip
    else:
        raise ArchiveRefused("is neither a zip nor a tar.gz")
    files: dict[str, bytes] = {}
    with _whole():
        for name, data in read(file, most_bytes):
            if name in files:
                raise ArchiveRefused(f"holds {name!r} twice")
            files[name] = data
    return _consistent(files)


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except errors.Refusal:
        raise
    except _BROKEN as fault:
        raise ArchiveRefused("is broken or not complete") from fault


def _consistent(files: dict[str, bytes]) -> dict[str, bytes]:
    if not files:
        raise ArchiveRefused("holds no file")
    for name in files:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in files:
                raise ArchiveRefused(f"holds {'/'.join(parts[:depth])!r} as a file and as a folder")
    return files


def without_top(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    """Return the files without the folder ``name`` in front, where all of them lie in there: so tar is used."""
    top = f"{name}/"
    if all(path.startswith(top) for path in files):
        return {path.removeprefix(top): data for path, data in files.items()}
    return files


def _plain(name: str) -> str | None:
    """Return the path of an entry, None for litter; raises `ArchiveRefused` for one that leads elsewhere."""
    path = name.removeprefix("./").rstrip("/") if name not in ("./", ".") else ""
    if not path:
        return None
    try:
        names = confined.segments(path)
    except confined.BadPath as fault:
        raise ArchiveRefused(
            f"holds {_shown(name)}: {fault.detail[0].lower()}{fault.detail[1:].rstrip('.')}"
        ) from None
    if len(names) > MOST_DEPTH:
        raise ArchiveRefused(f"holds {_shown(name)}, which is more than {MOST_DEPTH} folders deep")
    return None if _LITTER.intersection(names) or path.endswith(".pyc") else path


def _shown(name: str) -> str:
    return ascii(name if len(name) < 200 else f"{name[:200]}…")


def _counted(number: int) -> None:
    if number > MOST_ENTRIES:
        raise ArchiveRefused(f"holds more than {MOST_ENTRIES:,} entries")


def _content(source: IO[bytes], budget: _Budget) -> bytes:
    parts = []
    while part := source.read(_CHUNK):
        budget.spend(len(part))
        parts.append(part)
    return b"".join(parts)


def _zip(file: BinaryIO, most_bytes: int) -> Iterator[tuple[str, bytes]]:
    budget = _Budget(most_bytes)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _counted(len(entries))
        if len(entries) != _announced(file):
            raise zipfile.BadZipFile
        for entry in entries:
            # zipfile cuts a name at a NUL; what it was called is what counts.
            path = _plain(entry.orig_filename)
            _require_plain_zip(entry)
            if path is not None and not entry.is_dir():
                with archive.open(entry) as source:
                    yield path, _content(source, budget)


def _announced(file: BinaryIO) -> int:
    """Return how many entries a zip says that it has: zipfile leaves out those that it does not find."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _MOST_END))
    end = file.read()
    (count,) = struct.unpack_from("<H", end, end.rindex(_END) + 10)
    return int(count)


def _require_plain_zip(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveRefused(f"holds {_shown(entry.filename)}, which is a link or no file")
    if entry.flag_bits & _ENCRYPTED:
        raise ArchiveRefused(f"holds {_shown(entry.filename)}, which is encrypted")
    if entry.compress_type not in _METHODS:
        raise ArchiveRefused(
            f"holds {_shown(entry.filename)}, which is compressed in another way than deflate"
        )


def _tar(file: BinaryIO, most_bytes: int) -> Iterator[tuple[str, bytes]]:
    budget = _Budget(most_bytes)
    data = _unzipped(file, most_bytes)
    tar_headers.require_harmless(data)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for number, entry in enumerate(archive, 1):
            _counted(number)
            path = _plain(entry.name)
            if not (entry.isreg() or entry.isdir()) or entry.issparse():
                raise ArchiveRefused(f"holds {_shown(entry.name)}, which is a link or no plain file")
            source = archive.extractfile(entry)
            if path is not None and source is not None:
                yield path, _content(source, budget)
        end = data[archive.offset :]
    # For tarfile whatever is damaged, or cut off between two entries, is the end; only zeros are.
    if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
        raise tarfile.ReadError


def _unzipped(file: BinaryIO, most_bytes: int) -> bytes:
    """Return the whole tar file, whose headers count as well: tarfile takes those of any length into memory."""
    most = most_bytes + MOST_ENTRIES * _TAR_OVERHEAD
    with gzip.GzipFile(fileobj=file, mode="rb") as raw:
        data = raw.read(most + 1)
    _Budget(most).spend(len(data))
    return data
