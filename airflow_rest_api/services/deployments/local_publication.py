"""Local publication: files and folders of a bundle that is a folder here, changed in one step each, and for good.

What is on its way stands in the bundle's folder `.rest_api`, which is on the same file system, and of which Airflow
is told to parse nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow.configuration import conf

from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments.content import FOLDER, Content
from airflow_rest_api.services.files import confined, disk_faults, durable_file
from airflow_rest_api.services.files.exchange_folders import exchange

# More than any folder that is deployed may hold; what is more is no folder of DAGs that we could keep.
MOST_BYTES = 256 * 1024 * 1024
# Files that were being written when their process died are removed when nobody has touched them for so long.
STALE_SECONDS = 3600.0
# How long a folder that was replaced is kept for those who read it.
ASIDE_SECONDS = 60.0
_LOCK_SECONDS = 5.0
# What Airflow reads as "nothing in here", by `[core] dag_ignore_file_syntax`.
_EVERYTHING = {"glob": "*\n", "regexp": ".*\n"}


class BundleBusy(errors.Conflict):
    """Another process is changing the bundle's files."""

    title = "The bundle is being changed"

    def __init__(self) -> None:
        super().__init__("Another process is changing files of this bundle; try again in a few seconds.")
        self.retry_after = 2


class LocalPublication:
    """Publishes into a bundle's folder ``root``."""

    why_not: str | None = None

    def __init__(self, root: Path, verify: Callable[[], None] = lambda: None) -> None:
        """Take what may say no, by raising, in the last moment before files change."""
        self._root = root
        self._verify = verify
        self._own = root / confined.RESERVED

    def read(self, path: str) -> Content | None:
        """Return what stands at a path, None for nothing.

        Raises `PathBlocked` for what is neither file nor folder, `ContentTooLarge`.
        """
        *folders, name = confined.segments(path)
        try:
            with confined.open_folder(self._root, folders) as folder:
                kind = confined.kind_at(folder, name)
        except confined.PathNotFound:
            return None
        if kind == FOLDER:
            return Content.of_folder(self._root / path, most_bytes=MOST_BYTES)
        return None if kind is None else self._file(path)

    def _file(self, path: str) -> Content | None:
        try:
            with confined.read(self._root, path) as file:
                return Content.of_file(file.read())
        except confined.PathNotFound:
            return None

    def publish(
        self, path: str, content: Content | None, *, deployment_id: str, author: str, message: str
    ) -> str | None:
        """Put a content at a path in place of what is there, or remove that for None; there is no reference.

        Raises `BundleBusy`, `PathBlocked`, `InsufficientStorage`; whatever was there then is as it was.
        """
        try:
            with self._locked():
                self._verify()
                self._sweep()
                if content is None:
                    self._remove(path, deployment_id)
                elif content.kind == FOLDER:
                    self._put_folder(path, content, deployment_id)
                else:
                    self._put_file(path, content)
        except OSError as fault:
            raise disk_faults.refusal_of(fault, path) from fault
        return None

    def is_published(self, path: str, content: Content | None, deployment_id: str) -> bool:
        """Tell whether the path holds exactly this content."""
        found = self.read(path)
        return (found and (found.kind, found.sha256)) == (content and (content.kind, content.sha256))

    def tidy(self, path: str, deployment_id: str) -> None:
        """Remove what a process that died has left of a deployment, and put back what it had moved aside.

        Raises `BundleBusy` while one that still lives is at it.
        """
        with self._locked():
            aside = self._aside(deployment_id)
            if aside.exists() and not (self._root / path).exists():
                aside.rename(self._root / path)
            self._discard(self._staged(deployment_id))
            *folders, _ = confined.segments(path)
            with suppress(confined.PathNotFound), confined.open_folder(self._root, folders) as folder:
                durable_file.sweep(folder, older_than=STALE_SECONDS)

    def _put_file(self, path: str, content: Content) -> None:
        *folders, name = confined.segments(path)
        with confined.open_folder(self._root, folders, create=True) as folder:
            durable_file.write(folder, name, [content.data], replace=True, sha256=content.sha256)

    def _put_folder(self, path: str, content: Content, deployment_id: str) -> None:
        *folders, name = confined.segments(path)
        staged, aside = self._staged(deployment_id), self._aside(deployment_id)
        try:
            self._discard(aside)
            self._stage(staged, content)
            with confined.open_folder(self._root, folders, create=True) as folder:
                kind = confined.kind_at(folder, name)
                if kind not in (None, FOLDER):
                    raise confined.PathBlocked(path)
                if kind is None:
                    staged.rename(self._root / path)
                else:
                    self._keep_aside(exchange(staged, self._root / path, aside), aside)
                os.fsync(folder)
        finally:
            self._discard(staged)

    def _stage(self, staged: Path, content: Content) -> None:
        """Write a folder beside the bundle's own and force it to the disk."""
        self._discard(staged)
        staged.mkdir(parents=True)
        content.unpack(staged)
        for place, _, names in os.walk(staged):
            Path(place).chmod(0o755)
            for name in [*names, "."]:
                _force(Path(place, name))

    def _remove(self, path: str, deployment_id: str) -> None:
        *folders, name = confined.segments(path)
        with suppress(confined.PathNotFound), confined.open_folder(self._root, folders) as folder:
            if confined.kind_at(folder, name) != FOLDER:
                durable_file.remove(folder, name)
                return
            aside = self._aside(deployment_id)
            self._discard(aside)
            self._keep_aside(self._root / path, aside)
            os.fsync(folder)

    def _staged(self, deployment_id: str) -> Path:
        return self._own / "staging" / deployment_id

    def _aside(self, deployment_id: str) -> Path:
        return self._own / "aside" / deployment_id

    @staticmethod
    def _keep_aside(folder: Path, aside: Path) -> None:
        """Keep a folder that was replaced for a while: somebody may be reading it."""
        if folder != aside:
            folder.rename(aside)
        os.utime(aside)

    def _sweep(self) -> None:
        before = time.time() - ASIDE_SECONDS
        for folder in (self._own / "aside").iterdir():
            if folder.stat().st_mtime < before:
                self._discard(folder)

    @staticmethod
    def _discard(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this host, and of others that share the disk, from changing files as well."""
        self._prepare()
        descriptor = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _prepare(self) -> None:
        for folder in (self._own, self._own / "staging", self._own / "aside"):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o755)
        ignore = self._own / ".airflowignore"
        if not ignore.exists():
            ignore.write_text(_EVERYTHING[conf.get("core", "dag_ignore_file_syntax", fallback="glob")])


def _lock(descriptor: int) -> None:
    patience_ends = time.monotonic() + _LOCK_SECONDS
    while not _lock_now(descriptor):
        if time.monotonic() > patience_ends:
            raise BundleBusy
        time.sleep(0.05)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _force(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
