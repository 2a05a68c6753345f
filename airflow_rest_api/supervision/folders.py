"""Folders of instances: entered by nobody but their owner, and nothing in them that another has put there is used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class UnsafeFolder(OSError):
    """A folder belongs to another user, or is a link."""


class Folder:
    """A folder, held open, so that it stays the same whatever becomes of its path."""

    def __init__(self, path: Path) -> None:
        """Enter a folder, and close it to others; raises `UnsafeFolder`, and `FileNotFoundError` without it."""
        self.path = path
        self.descriptor = _entered(path)

    def close(self) -> None:
        """Leave the folder."""
        os.close(self.descriptor)

    def open(self, name: str, flags: int) -> int:
        """Open a file of our own, made with mode 0600 where ``flags`` say so; raises `OSError`.

        A link, and a file of another user, is as one that is not there.
        """
        descriptor = os.open(name, flags | _SAFELY, 0o600, dir_fd=self.descriptor)
        if os.fstat(descriptor).st_uid != os.geteuid():
            os.close(descriptor)
            raise FileNotFoundError(name)
        return descriptor

    def names(self) -> list[str]:
        """Return the names of what is in the folder."""
        return os.listdir(self.descriptor)  # noqa: PTH208 (a path may be another folder's by now)

    def has_gone(self) -> bool:
        """Tell whether the folder has been removed, though it is held."""
        return not os.fstat(self.descriptor).st_nlink

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def make_pipe(self, name: str) -> None:
        """Make a named pipe, in place of anything else that has the name."""
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
            if stat.S_ISFIFO(found.st_mode) and found.st_uid == os.geteuid():
                return
            self.remove(name)
        os.mkfifo(name, 0o600, dir_fd=self.descriptor)


@contextmanager
def entered(path: Path) -> Iterator[Folder | None]:
    """Enter a folder, None where there is none that can be used."""
    try:
        folder = Folder(path)
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        folder.close()


def make(path: Path) -> None:
    """Make a folder of this process's user alone, and those above it, where they are missing; raises `OSError`."""
    for folder in (*reversed(path.parents), path):
        with suppress(FileExistsError):
            folder.mkdir(0o700)
    os.close(_entered(path))


def _entered(path: Path) -> int:
    try:
        descriptor = os.open(path, _ENTER)
    except NotADirectoryError as fault:
        raise UnsafeFolder(f"'{path.name}' is no folder.") from fault
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        os.close(descriptor)
        raise UnsafeFolder(f"'{path.name}' belongs to another user.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.fchmod(descriptor, 0o700)
    return descriptor
