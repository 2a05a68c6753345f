"""Confined: names that callers give, walked below a root without a way out of it.

Every folder on the way is opened from the one before it, and never through a symbolic link: there is no moment
between looking and opening in which somebody could put a link there, and no path that is resolved twice.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from airflow_rest_api.services import errors
from airflow_rest_api.services.files import disk_faults

# The folder in which this service keeps what is on its way into a root.
RESERVED = ".rest_api"
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK the opening of a named pipe waits until somebody writes into it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Windows opens a device for these names, with every ending and in any case (Microsoft, "Naming Files, Paths, and
# Namespaces"): a checkout or a share of the files would fail there.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789\u00b9\u00b2\u00b3"}
)
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EEXIST})


class BadPath(errors.Malformed):
    """The text is no path of a file below a root."""

    title = "The path is not allowed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The path {reason}.")


class PathBlocked(errors.Conflict):
    """Something else stands on the way: a file or a link where a folder has to be, or a folder in a file's place."""

    title = "Something else is in the way"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"On the way of '{path}' stands something that is not a plain file or folder.", path=path
        )


class PathNotFound(errors.NotFound):
    """There is nothing at the path."""

    title = "There is no such file"

    def __init__(self, path: str) -> None:
        super().__init__(f"There is no file '{path}'.", path=path)


def segments(path: str) -> tuple[str, ...]:
    """Return the names of which a relative path consists; raises `BadPath` for whatever could mean another place.

    Refused are absolute paths, empty segments, `.` and `..`, backslashes, control and formatting characters, names
    that end in a dot or a space or begin with one that others trim, drive letters, names of Windows devices, and
    `RESERVED`.
    """
    names = tuple(path.split("/"))
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise BadPath(f"is longer than {MAX_PATH_BYTES} bytes")
    for name in names:
        reason = _fault_of(name)
        if reason:
            raise BadPath(reason)
    return names


def is_name(name: str, *, below: str) -> bool:
    """Tell whether a caller can speak of what has this name in the folder at the path ``below``."""
    if _fault_of(name) is not None:
        return False
    return len(f"{below}/{name}".lstrip("/").encode()) <= MAX_PATH_BYTES


def _fault_of(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "has an empty segment" if not name else f"has the segment '{name}'"
    # What is printable has none of those; most names are, and there may be very many.
    if not name.isprintable() and any(unicodedata.category(letter) in _INVISIBLE for letter in name):
        return "holds a control character"
    if "\\" in name or ":" in name:
        return "holds a backslash or a colon"
    if name != name.strip() or name.endswith("."):
        return "has a segment that begins or ends with a space, or ends with a dot"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"has a segment that is longer than {MAX_NAME_BYTES} bytes"
    return _reserved(name)


def _reserved(name: str) -> str | None:
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        return f"has the segment '{name}', which names a device on Windows"
    return f"uses the reserved name '{RESERVED}'" if name.casefold().startswith(RESERVED) else None


@contextmanager
def open_folder(root: Path, names: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Open the folder below ``root`` that the names lead to, and give its descriptor; make what is missing.

    Raises `PathNotFound` where it is not there and not to be made, `PathBlocked`.
    """
    descriptor = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for name in names:
            inner = _enter(descriptor, name, "/".join(names), create=create)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(descriptor: int, name: str, path: str, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=descriptor)
    except FileNotFoundError:
        if not create:
            raise PathNotFound(path) from None
    except OSError as fault:
        raise _blocked(fault, path) from fault
    try:
        os.mkdir(name, 0o755, dir_fd=descriptor)
        # The name of a folder is in the one around it, and survives a power cut with that one only.
        os.fsync(descriptor)
    except FileExistsError:
        pass  # another caller was faster
    except OSError as fault:
        raise disk_faults.refusal_of(fault, path) from fault
    return _enter(descriptor, name, path, create=False)


@contextmanager
def read(root: Path, path: str) -> Iterator[BinaryIO]:
    """Open the plain file at a path below ``root`` for reading; raises `BadPath`, `PathNotFound`, `PathBlocked`."""
    *folders, name = segments(path)
    with open_folder(root, folders) as folder:
        descriptor = open_file(folder, name, path)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def open_file(folder: int, name: str, path: str) -> int:
    """Open a plain file of an open folder and return its descriptor; ``path`` is how refusals call it."""
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        raise PathNotFound(path) from None
    except OSError as fault:
        raise _blocked(fault, path) from fault
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PathBlocked(path)
    return descriptor


def _blocked(fault: OSError, path: str) -> Exception:
    """Return the refusal for what stands in the way, and any other fault as it is."""
    return PathBlocked(path) if fault.errno in _IN_THE_WAY or fault.errno == errno.ENXIO else fault


def kind_at(folder: int, name: str) -> str | None:
    """Tell what has a name in an open folder: `file`, `folder`, `other`, or None for nothing."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def clean(name: str) -> str:
    """Return the last part of the name under which a client sent a file, whichever system it runs on."""
    return name.replace("\\", "/").rpartition("/")[2]
