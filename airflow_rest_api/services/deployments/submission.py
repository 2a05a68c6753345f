"""Submissions: the file or archive that a caller sent, and where in which bundle it is to stand."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_rest_api.sandbox import packages
from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments import archive, bundles
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.content import FOLDER, Content
from airflow_rest_api.services.files import confined
from airflow_rest_api.services.files.uploads import Upload

# Python repeats itself, and is compressed to a fifth or less.
UNPACKED_FACTOR = 10
# Of the temporary folder of each submission.
FOLDER_PREFIX = "rest-api-submission-"
_ENDING = re.compile(r"\.(?:zip|tar\.gz|tgz)$", re.IGNORECASE)
# What every process of Airflow imports from the folder of DAGs, if it is there.
_SETTINGS = "airflow_local_settings"


class NothingSent(errors.Malformed):
    """There has to be one file, and there is none, or there are two."""

    title = "Send one file"

    def __init__(self) -> None:
        super().__init__("Send either `dag_file` or `archive`, and not both.")


class NotPython(errors.Malformed):
    """Airflow looks for DAGs in Python's modules alone."""

    title = "Not a Python file"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The path of a DAG file ends in '.py', and '{path}' does not; an archive goes into a folder."
        )


class EmptyFile(errors.Unprocessable):
    """There is nothing in the file."""

    title = "The file is empty"

    def __init__(self, path: str) -> None:
        super().__init__(f"The file for '{path}' is empty; nothing was stored.", path=path)


class ReservedModule(errors.Unprocessable):
    """Airflow takes a module of this name for its own settings."""

    title = "The name is reserved"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"Every process of Airflow imports '{path}' as its settings; it is no DAG file.", path=path
        )


@dataclass(frozen=True)
class Submission:
    """What is to stand at ``path`` in a ``bundle``.

    ``sha256`` is that of what was sent. ``folder`` is a temporary one in which the files have the paths that they
    will have in the bundle.
    """

    bundle: Bundle
    path: str
    sha256: str
    content: Content
    folder: Path

    @property
    def replaced(self) -> str | None:
        """The folder of the bundle that is replaced with all that is in it, None for a file."""
        return self.path if self.content.kind == FOLDER else None


@contextmanager
def submitted(form: Mapping[str, Any], *, max_archive_kib: int) -> Iterator[Submission]:
    """Read the fields `dag_file` or `archive`, `bundle_name` and `path` of a form; the files are gone afterwards.

    Raises `NothingSent`, `BadPath`, `NotPython`, `EmptyFile`, `ReservedModule`, `ArchiveRefused`, and what
    `bundles.writable` raises.
    """
    bundle, most = bundles.writable(form.get("bundle_name")), max_archive_kib * 1024
    path, upload, content = _read(form.get("dag_file"), form.get("archive"), form.get("path"), most)
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
        folder = Path(name)
        _lay_out(content, folder / path)
        yield Submission(bundle, path, upload.sha256, content, folder)


def _read(
    dag_file: Upload | None, packed: Upload | None, path: str | None, most: int
) -> tuple[str, Upload, Content]:
    if (dag_file is None) == (packed is None):
        raise NothingSent
    if dag_file is not None:
        path = _checked(path or confined.clean(dag_file.name))
        return path, dag_file, _file(dag_file, path)
    assert packed is not None
    path = _checked(path or _ENDING.sub("", confined.clean(packed.name)))
    files = _files(packed, path, most * UNPACKED_FACTOR)
    if not path.endswith(packages.SUFFIX) and not packages.is_needed(files):
        return path, packed, Content.of_files(files)
    return (
        f"{path.removesuffix(packages.SUFFIX)}{packages.SUFFIX}",
        packed,
        Content.of_file(packages.packed(files)),
    )


def _checked(path: str) -> str:
    names = confined.segments(path)
    if len(names) == 1 and names[0].partition(".")[0] == _SETTINGS:
        raise ReservedModule(path)
    return path


def _file(upload: Upload, path: str) -> Content:
    if not path.endswith(".py"):
        raise NotPython(path)
    if upload.size == 0:
        raise EmptyFile(path)
    return Content.of_file(upload.read())


def _files(upload: Upload, path: str, most: int) -> dict[str, bytes]:
    if upload.size == 0:
        raise EmptyFile(path)
    files = archive.unpacked(upload.file, most_bytes=most)
    return archive.without_top(files, confined.segments(path)[-1].removesuffix(packages.SUFFIX))


def _lay_out(content: Content, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if content.kind == FOLDER:
        content.unpack(place)
    else:
        place.write_bytes(content.data)
