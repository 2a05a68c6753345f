"""Ignoring: which of the files that were sent Airflow would not look for, because an `.airflowignore` says so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from airflow.utils.file import list_py_file_paths

from airflow_rest_api.sandbox import packages

_NAME = ".airflowignore"
_EMPTY_ZIP = packages.packed({})


def heeded(root: Path, paths: Iterable[str]) -> set[str]:
    """Return those of the modules ``paths`` below the bundle ``root`` that Airflow looks for.

    Airflow finds out while it walks through all of a bundle. It is given one with these files alone: a bundle may be
    large, and whatever else is in it makes no difference.
    """
    with tempfile.TemporaryDirectory() as folder:
        outline = Path(folder)
        for path in paths:
            place = outline / path
            place.parent.mkdir(parents=True, exist_ok=True)
            # Of archives Airflow finds those alone that are one.
            place.write_bytes(_EMPTY_ZIP if place.suffix == packages.SUFFIX else b"")
            for above in Path(path).parents:
                _copy(root / above / _NAME, outline / above / _NAME)
        found = list_py_file_paths(outline, safe_mode=False)
        return {str(Path(path).relative_to(outline)) for path in found}


def _copy(source: Path, place: Path) -> None:
    if source.is_file() and not place.exists():
        shutil.copyfile(source, place)
