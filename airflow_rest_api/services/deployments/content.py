"""Content: what stands at a path of a bundle, a file or a whole folder, as bytes that can be kept and compared."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from airflow_rest_api.sandbox import packages
from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments import archive

FILE, FOLDER = "file", "folder"
# What Python writes by itself when it imports is no content; nor is what we keep beside a bundle's files.
_IGNORED = frozenset({"__pycache__", ".rest_api"})
_MODE = 0o644
# A zip file of more bytes is compared as a whole.
_MOST_UNZIPPED = 1 << 30


class ContentTooLarge(errors.Conflict):
    """There is more at the path than anybody would keep."""

    title = "What is there is too large"

    def __init__(self) -> None:
        super().__init__("What stands at the path now is too large to be kept as a former version of it.")


@dataclass(frozen=True)
class Content:
    """A file's bytes, or a folder as an archive in which nothing but names and bytes counts.

    ``sha256``, in hexadecimal digits, is that of the file, or of a folder's names and bytes in order: equal content
    has an equal one, whoever packed it and when.
    """

    kind: str
    sha256: str
    data: bytes = field(repr=False)

    @classmethod
    def of_file(cls, data: bytes) -> Content:
        """Return the content of a file."""
        return cls(FILE, hashlib.sha256(data).hexdigest(), data)

    @classmethod
    def of_folder(cls, folder: Path, *, most_bytes: int | None = None) -> Content:
        """Read a folder with all that is below it, links and what is no file left out.

        Raises `ContentTooLarge` for more than ``most_bytes``.
        """
        files: dict[str, bytes] = {}
        size = 0
        for path in _files_below(folder):
            size += path.stat().st_size
            if most_bytes is not None and size > most_bytes:
                raise ContentTooLarge
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
        return cls.of_files(files)

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> Content:
        """Return the content of a folder that holds these files, by their paths in there."""
        digest = hashlib.sha256()
        for name, data in sorted(files.items()):
            for part in (name.encode(), data):
                digest.update(len(part).to_bytes(8, "big") + part)
        return cls(FOLDER, digest.hexdigest(), _packed(files))

    @property
    def size(self) -> int:
        """The number of bytes of all files."""
        return sum(len(data) for data in self.files().values())

    def files(self) -> dict[str, bytes]:
        """Return a folder's files by their paths in there; a file has the empty path."""
        if self.kind == FILE:
            return {"": self.data}
        with tarfile.open(fileobj=io.BytesIO(self.data), mode="r:gz") as packed:
            return {member.name: _read(packed, member) for member in packed if member.isfile()}

    def sources(self, path: str) -> dict[str, bytes]:
        """Return the files by their paths in the bundle if the content is at ``path``, those in a zip file as well.

        So Airflow names the files of its DAGs; an archive that cannot be read is a file like others.
        """
        found: dict[str, bytes] = {}
        for name, data in self.files().items():
            place = f"{path}/{name}" if name else path
            inner = _unzipped(data) if place.endswith(packages.SUFFIX) else {}
            found |= {f"{place}/{member}": text for member, text in inner.items()} or {place: data}
        return found

    def unpack(self, folder: Path) -> None:
        """Write a folder's files below an empty folder."""
        for name, data in self.files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(_MODE)


def _unzipped(data: bytes) -> dict[str, bytes]:
    with suppress(archive.ArchiveRefused):
        return archive.unpacked(io.BytesIO(data), most_bytes=_MOST_UNZIPPED)
    return {}


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _IGNORED)
        paths = (Path(place, name) for name in sorted(names) if not name.endswith(".pyc"))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    # Neither times nor owners: what was packed twice is the same to the byte.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), _MODE
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = tar.extractfile(member)
    if opened is None:
        raise ValueError(member.name)
    return opened.read()
