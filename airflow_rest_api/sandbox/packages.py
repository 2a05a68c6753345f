"""Packaged DAGs: zip archives that Airflow reads without unpacking them.

Airflow puts the archive on Python's path and parses the modules at its root (`PythonDagImporter`, Airflow 3.3).
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

SUFFIX = ".zip"
# More modules of one package are not looked at.
MOST_MODULES = 10_000
_FROM = re.compile(rb"^[ \t]*from[ \t]+(\w+)[\w.]*[ \t]+import\b", re.MULTILINE)
_IMPORT = re.compile(rb"^[ \t]*import[ \t]+([^\r\n#;]+)", re.MULTILINE)
_OTHERS = sys.stdlib_module_names | {"airflow"}


def is_needed(files: Mapping[str, bytes]) -> bool:
    """Return whether the files of an archive have to stay in an archive.

    That is so if a module at its root imports another one from there: in a folder of the bundle it would not find it,
    because only the root of the bundle is on Python's path.
    """
    modules = {path.partition("/")[0].removesuffix(".py") for path in files if path.endswith(".py")} - _OTHERS
    at_root = {name: data for name, data in files.items() if "/" not in name and name.endswith(".py")}
    return any(modules & _imported(data) - {name.removesuffix(".py")} for name, data in at_root.items())


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of the files; equal files give equal bytes."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return raw.getvalue()


def modules(package: Path) -> list[str]:
    """Return the names of the Python modules in an archive, at most `MOST_MODULES`; none if it is not a zip."""
    try:
        with zipfile.ZipFile(package) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
    return sorted({name for name in names if name.endswith(".py")})[:MOST_MODULES]


def _imported(source: bytes) -> set[str]:
    """Return the first parts of the modules that a source imports, found without running it."""
    listed = (part.split() for statement in _IMPORT.findall(source) for part in statement.split(b","))
    names = [*_FROM.findall(source), *(words[0].partition(b".")[0] for words in listed if words)]
    return {name.decode("utf-8", "replace") for name in names}
