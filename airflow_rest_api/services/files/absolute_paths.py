"""Absolute paths: how somebody who knows the machine names a file, where a name below an upload root is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from airflow_rest_api.services import configuration, errors


class OutsideRoots(errors.Malformed):
    """The path leads to no upload root."""

    title = "The path is outside of the upload roots"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The path '{path}' is not absolute, or not below a folder that is an upload root here"
            " ([rest_api] upload_roots)."
        )


def located(roots: Mapping[str, Path], path: str) -> tuple[str, str]:
    """Return the name of the root in which an absolute path is, and the path below it, empty for the root itself.

    Only the words are compared: what is below a root may still be a path that is not allowed there. Raises
    `OutsideRoots`.
    """
    wanted = PurePosixPath(path)
    for name, root in roots.items():
        for folder in (root, root.resolve()):
            if wanted.is_relative_to(folder):
                below = str(wanted.relative_to(folder))
                return name, "" if below == "." else below
    raise OutsideRoots(path)


def default_root(roots: Mapping[str, Path]) -> str:
    """Return the name of the root that is Airflow's folder of DAGs, or else of the first one there is."""
    folder = configuration.dags_folder().resolve()
    return next((name for name, root in roots.items() if root.resolve() == folder), next(iter(roots)))


def full(roots: Mapping[str, Path], root: str, path: str) -> str:
    """Return the absolute path of what is at a path below a root."""
    return str(roots[root] / path)
