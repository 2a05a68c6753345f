"""Roots: the folders that take files, and what else than data may stand at a place below one.

Who writes below a DAG bundle is an author of DAGs, and who writes where Python looks for modules has its processes:
for both the power over files is not enough. A root may be such a folder, lie in one or around one, so the question is
asked of every single place.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow.models.dag import DagModel
from sqlalchemy import or_, select

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import bundles
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.files import confined

# What Python or Airflow runs or obeys as soon as a file of this name is where it looks, whatever its suffix.
_TAKES_OVER = frozenset({"airflow_local_settings", "sitecustomize", "usercustomize", "webserver_config"})
_CONFIGURES = frozenset({"__pycache__", ".airflowignore", "airflow.cfg", "pyvenv.cfg"})
_EXTENDS = (".pth", "._pth")


class RootNotFound(errors.NotFound):
    """No upload root has this name."""

    title = "Upload root not found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no upload root '{name}'; `get_capabilities` tells their names.", root=name
        )


class NameDenied(errors.Unprocessable):
    """The name is that of a file with which other software is configured or taken over."""

    title = "The name is not allowed"

    def __init__(self, path: str, name: str) -> None:
        super().__init__(
            f"'{name}' is a name that Python or Airflow reads settings or code from; it cannot be changed here.",
            path=path,
        )


@dataclass(frozen=True)
class Root:
    """An upload root by its ``name``; the ``path`` is never told to a caller."""

    name: str
    path: Path = field(repr=False)


@dataclass(frozen=True)
class Place:
    """The place of a file below a root, made with `place`; ``names`` are the segments of its ``path``."""

    root: Root
    path: str
    names: tuple[str, ...]

    def require_readable(self, caller: Caller) -> None:
        """Raise `Denied` where a DAG comes from this file whose code the caller may not read."""
        for dag_id in self._dag_ids():
            caller.permissions.require_dag(dag_id, "GET", "CODE")

    def require_changeable(self, caller: Caller) -> None:
        """Raise `NameDenied`, and `Denied` where a change is a deployment that the caller may not make."""
        denied = next((name for name in self.names if _is_denied(name)), None)
        if denied is not None:
            raise NameDenied(self.path, denied)
        if self._bundles() or _is_importable(self._target()):
            caller.permissions.require_switch("deploy_enabled")
            caller.permissions.require_power("deploy")
        for dag_id in self._dag_ids():
            caller.permissions.require_dag(dag_id, "PUT")

    def _target(self) -> Path:
        # Below the root no link is followed, so that nothing is left to resolve.
        return self.root.path.resolve().joinpath(*self.names)

    def _bundles(self) -> list[tuple[Bundle, Path]]:
        """Return the bundles in which the place is, and where they are."""
        target = self._target()
        found = [(bundle, bundle.path.resolve()) for bundle in bundles.every() if bundle.path is not None]
        return [(bundle, path) for bundle, path in found if target.is_relative_to(path)]

    def _dag_ids(self) -> list[str]:
        """Return the DAGs that Airflow has found in the file, in one of an archive as well."""
        target = self._target()
        places = [
            (DagModel.bundle_name == bundle.name)
            & or_(
                DagModel.relative_fileloc == str(target.relative_to(path)),
                DagModel.relative_fileloc.startswith(f"{target.relative_to(path)}/", autoescape=True),
            )
            for bundle, path in self._bundles()
        ]
        if not places:
            return []
        with reading() as session:
            return sorted(session.scalars(select(DagModel.dag_id).where(or_(*places))))


def every(roots: Mapping[str, Path]) -> list[Root]:
    """Return all roots, by name."""
    return [Root(name, roots[name]) for name in sorted(roots)]


def find(roots: Mapping[str, Path], name: str) -> Root:
    """Return the root with this name; raises `RootNotFound`."""
    if name not in roots:
        raise RootNotFound(name)
    return Root(name, roots[name])


def place(roots: Mapping[str, Path], name: str, path: str) -> Place:
    """Return the place at a path below the root with this name; raises `RootNotFound`, `BadPath`."""
    return Place(find(roots, name), path, confined.segments(path))


def _is_denied(name: str) -> bool:
    # As file systems compare that make no difference between capital and small letters.
    plain = name.casefold()
    return plain in _CONFIGURES or plain.partition(".")[0] in _TAKES_OVER or plain.endswith(_EXTENDS)


def _is_importable(target: Path) -> bool:
    """Tell whether Python may take the file for a module or for what installs one; hidden folders hold neither."""
    for entry in {Path(entry).resolve() for entry in sys.path}:
        if target.is_relative_to(entry):
            inside = target.relative_to(entry).parts
            if not any(name.startswith(".") for name in inside):
                return True
    return False
