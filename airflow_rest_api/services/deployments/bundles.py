"""Bundles: the places from which this Airflow takes its DAG files, and into which of them files can be deployed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.dag_processing.bundles.manager import DagBundlesManager

from airflow_rest_api.services import errors
from airflow_rest_api.services.git import git_following

LOCAL, GIT = "local", "git"
_GIT_CLASS = "GitDagBundle"
# Airflow's own examples and those of providers are bundles as well, of files that an upgrade replaces.
_EXAMPLES = "example_dags"


class BundleNotFound(errors.NotFound):
    """Airflow has no bundle of this name."""

    title = "Bundle not found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no DAG bundle '{name}'.", bundle_name=name)


class BundleNotWritable(errors.Conflict):
    """Nothing can be deployed into this bundle."""

    title = "The bundle is not writable"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Nothing can be deployed into the bundle '{name}': {reason}.", bundle_name=name)


class NoWritableBundle(errors.Conflict):
    """None of the bundles can be deployed into."""

    title = "No bundle is writable"

    def __init__(self) -> None:
        super().__init__(
            "None of Airflow's DAG bundles can be deployed into; `get_capabilities` tells why for each of them."
        )


@dataclass(frozen=True)
class Bundle:
    """One DAG bundle; ``why_not`` says, without a path of this machine, why nothing can be deployed into it.

    ``kind`` is `local`, `git`, or the name of another class. ``path`` is where its files are on this machine, which
    for a local bundle is where they are deployed to. ``native`` is Airflow's own object.
    """

    name: str
    kind: str
    path: Path | None
    why_not: str | None
    native: Any = field(repr=False, compare=False)

    @property
    def is_writable(self) -> bool:
        """Whether files can be deployed into it."""
        return self.why_not is None


def every() -> list[Bundle]:
    """Return all bundles, in the order of Airflow's configuration."""
    return [_bundle(native) for native in _natives(conf.get("dag_processor", "dag_bundle_config_list"))]


def find(name: str) -> Bundle:
    """Return the bundle with this name; raises `BundleNotFound`."""
    for bundle in every():
        if bundle.name == name:
            return bundle
    raise BundleNotFound(name)


def writable(name: str | None = None) -> Bundle:
    """Return the bundle with this name, by default the first one that can be deployed into.

    Raises `BundleNotFound`, `BundleNotWritable`, `NoWritableBundle`.
    """
    if name is None:
        found = next((bundle for bundle in every() if bundle.is_writable), None)
        if found is None:
            raise NoWritableBundle
        return found
    bundle = find(name)
    if bundle.why_not is not None:
        raise BundleNotWritable(name, bundle.why_not)
    return bundle


@cache
def _natives(_: str) -> tuple[Any, ...]:
    """Return Airflow's objects for a configuration, which is read once: it imports classes and asks connections."""
    return tuple(DagBundlesManager().get_all_dag_bundles())


def _bundle(native: Any) -> Bundle:
    kind, path = _kind(native), _path(native)
    if kind == GIT and path is not None and not path.is_dir():
        # Nobody has fetched it on this machine; it is deployed to by way of another clone anyway.
        path = None
    return Bundle(native.name, kind, path, _why_not(kind, path, native), native)


def _kind(native: Any) -> str:
    name = type(native).__name__
    return LOCAL if isinstance(native, LocalDagBundle) else GIT if name == _GIT_CLASS else name


def _path(native: Any) -> Path | None:
    try:
        return Path(native.path)
    except Exception:
        # A bundle that is fetched from elsewhere may know its place only once it was.
        return None


def _why_not(kind: str, path: Path | None, native: Any) -> str | None:
    if kind == LOCAL:
        return _why_not_local(path)
    if kind == GIT:
        return git_following.why_not(native)
    return f"bundles of the class {kind} are copies of what is kept elsewhere, and this service cannot write there"


def _why_not_local(path: Path | None) -> str | None:
    if path is not None and path.name == _EXAMPLES:
        return "it holds the examples of Airflow or of a provider"
    if path is None or not path.is_dir():
        return "its folder does not exist on this machine"
    if not os.access(path, os.W_OK | os.X_OK):
        return "its folder cannot be written to by this service"
    return None
