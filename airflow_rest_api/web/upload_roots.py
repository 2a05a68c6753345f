"""Upload roots: which folders a caller may be allowed to write into, and which never."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from airflow_rest_api.services import configuration
from airflow_rest_api.settings import SECTION


def faults_of(roots: Mapping[str, Path]) -> Iterator[str]:
    """Yield what is wrong with the roots on this machine; a path is not told, the mount answers this to anybody."""
    real = {name: path.resolve() for name, path in roots.items()}
    for name, path in real.items():
        reason = _unusable(path) or _dangerous(path)
        if reason:
            yield f"[{SECTION}] upload_roots: the root '{name}' {reason}"
    for (first, one), (second, other) in combinations(real.items(), 2):
        if one.is_relative_to(other) or other.is_relative_to(one):
            yield f"[{SECTION}] upload_roots: the roots '{first}' and '{second}' overlap"


def _unusable(path: Path) -> str | None:
    if not path.exists():
        return "does not exist"
    if not path.is_dir():
        return "is not a folder"
    return None if os.access(path, os.W_OK | os.X_OK) else "cannot be written to"


def _dangerous(path: Path) -> str | None:
    """Say what a caller could replace: Airflow's settings, or code that every process of Airflow imports."""
    if path == Path(path.anchor):
        return "is the whole file system"
    if configuration.file_path().resolve().is_relative_to(path):
        return "holds Airflow's configuration"
    plugins = configuration.plugins_folder().resolve()
    if plugins.is_relative_to(path) or path.is_relative_to(plugins):
        return "holds Airflow's plugins, or is one of their folders"
    return None
