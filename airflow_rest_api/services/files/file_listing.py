"""File listings: which files there are below a root, in order, and never without an end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from airflow_rest_api.services.files import confined, disk_faults
from airflow_rest_api.services.files.roots import Root

# More entries of the disk than these are not looked at for one answer, which takes a quarter of a second.
MOST_ENTRIES = 100_000


@dataclass
class Walk:
    """A walk of one or more roots; ``left`` is how many entries may still be looked at."""

    left: int = MOST_ENTRIES
    is_complete: bool = True

    def paths(self, root: Root, prefix: str) -> Iterator[tuple[str, ...]]:
        """Yield the segments of the plain files whose path begins with ``prefix``, folder by folder in order.

        What no caller can name is left out, and so are links, pipes and what is on its way. Raises `BadPath`.
        """
        folder, _, beginning = prefix.rpartition("/")
        yield from self._below(root, confined.segments(folder) if folder else (), beginning)

    def _below(self, root: Root, folder: tuple[str, ...], beginning: str = "") -> Iterator[tuple[str, ...]]:
        for name, is_folder in self._entries(root, folder, beginning):
            if is_folder:
                yield from self._below(root, (*folder, name))
            else:
                yield (*folder, name)

    def _entries(self, root: Root, folder: tuple[str, ...], beginning: str) -> list[tuple[str, bool]]:
        """Return the named files and folders of a folder in order; nothing of one that went away meanwhile."""
        found: list[tuple[str, bool]] = []
        path = "/".join(folder)
        with (
            suppress(confined.PathNotFound, confined.PathBlocked),
            disk_faults.told(path or root.name),
            confined.open_folder(root.path, folder) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            for entry in islice(entries, self.left):
                self.left -= 1
                if entry.name.startswith(beginning) and confined.is_name(entry.name, below=path):
                    found += _kinds(entry)
            self.is_complete = self.is_complete and next(entries, None) is None
        return sorted(found)


def _kinds(entry: os.DirEntry[str]) -> Iterator[tuple[str, bool]]:
    if entry.is_dir(follow_symlinks=False):
        yield entry.name, True
    elif entry.is_file(follow_symlinks=False):
        yield entry.name, False
