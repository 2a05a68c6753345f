"""File: files below the upload roots."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_rest_api.services import retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.files import confined, disk_faults, durable_file, roots
from airflow_rest_api.services.files.downloads import Download
from airflow_rest_api.services.files.durable_file import DigestDiffers
from airflow_rest_api.services.files.file_listing import Walk
from airflow_rest_api.services.files.roots import Place, Root
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.services.lists import listing

Json = dict[str, Any]
Roots = Mapping[str, Path]

# What a writer that died has left behind is in nobody's way, and removed with the next file of its folder.
_STALE_SECONDS = 3600


def upload_file(body: Json, *, caller: Caller, upload_roots: Roots) -> Json:
    """Write a file below a root, whole or not at all; a file that is there is replaced where ``force`` says so.

    Raises `RootNotFound`, `BadPath`, `NameDenied`, `Denied`, `FileExists`, `PathBlocked`, `DigestDiffers` and
    `InsufficientStorage`; nothing is stored then.
    """
    upload: Upload = body["file"]
    place = roots.place(upload_roots, body["root"], body.get("path") or confined.clean(upload.name))
    place.require_changeable(caller)
    expected = body.get("sha256")
    if expected is not None and expected.lower() != upload.sha256:
        raise DigestDiffers(expected, upload.sha256)
    *folders, name = place.names
    with (
        disk_faults.told(place.path),
        confined.open_folder(place.root.path, folders, create=True) as folder,
    ):
        _store(folder, name, upload, replace=body.get("force", False))
        durable_file.sweep(folder, _STALE_SECONDS)
        modified_at = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    return _told(place.root, place.path, upload.size, modified_at, sha256=upload.sha256)


def _store(folder: int, name: str, upload: Upload, *, replace: bool) -> None:
    # The process that began this call may have died behind its effect, of which no database knows.
    if retries.is_taken_over() and _digest_at(folder, name) == upload.sha256:
        return
    durable_file.write(folder, name, upload.chunks(), replace=replace, sha256=upload.sha256)


def _digest_at(folder: int, name: str) -> str | None:
    with suppress(confined.PathNotFound, confined.PathBlocked):
        return durable_file.digest(folder, name)
    return None


def get_files(query: Json, *, upload_roots: Roots) -> Json:
    """List the plain files below one root or all, by root and path; raises `RootNotFound`, `BadPath`."""
    wanted = query.get("root")
    chosen = roots.every(upload_roots) if wanted is None else [roots.find(upload_roots, wanted)]
    walk, prefix = Walk(), query.get("prefix") or ""
    found = [(root, names) for root in chosen for names in walk.paths(root, prefix)]
    first, limit = query.get("offset") or 0, listing.page_limit(query.get("limit"))
    page = islice(found, first, first + limit)
    files = [entry for root, names in page for entry in _entry(root, names)]
    return {"files": files, "total_entries": len(found), "is_complete": walk.is_complete}


def _entry(root: Root, names: tuple[str, ...]) -> Iterator[Json]:
    """Yield what is told of a file, unless it went away meanwhile."""
    *folders, name = names
    with (
        suppress(confined.PathNotFound, confined.PathBlocked, FileNotFoundError),
        confined.open_folder(root.path, folders) as folder,
    ):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        yield _told(root, "/".join(names), found.st_size, found.st_mtime, sha256=None)


def get_file(root: str, path: str, *, caller: Caller, upload_roots: Roots) -> Download:
    """Return a file's content; raises `RootNotFound`, `BadPath`, `PathNotFound`, `PathBlocked` and `Denied`."""
    place = roots.place(upload_roots, root, path)
    place.require_readable(caller)
    with disk_faults.told(path), confined.read(place.root.path, path) as file:
        return Download.of(file, place.names[-1])


def delete_file(root: str, path: str, *, caller: Caller, upload_roots: Roots) -> None:
    """Remove a file for good; raises what `get_file` raises, and `NameDenied`."""
    place: Place = roots.place(upload_roots, root, path)
    place.require_changeable(caller)
    *folders, name = place.names
    with disk_faults.told(path), confined.open_folder(place.root.path, folders) as folder:
        durable_file.remove(folder, name)


def _told(root: Root, path: str, size: int, modified: float, *, sha256: str | None) -> Json:
    modified_at = datetime.fromtimestamp(modified, timezone.utc)
    return {"root": root.name, "path": path, "size": size, "sha256": sha256, "modified_at": modified_at}
