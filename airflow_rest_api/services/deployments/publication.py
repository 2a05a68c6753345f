"""Publication: how content gets to where Airflow takes a bundle's files from, for each kind of bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airflow_rest_api.services.deployments import bundles
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.local_publication import LocalPublication
from airflow_rest_api.services.git.git_publication import GitPublication


class Publisher(Protocol):
    """Puts content into one bundle, each time as a whole or not at all."""

    def read(self, path: str) -> Content | None:
        """Return what stands at a path now, None for nothing."""

    def publish(
        self, path: str, content: Content | None, *, deployment_id: str, author: str, message: str
    ) -> str | None:
        """Put the content at a path, or remove what is there for None, and force it to the disk.

        Done again for the same deployment it changes nothing. Returns the name of a commit, where there is one.
        """

    def is_published(self, path: str, content: Content | None, deployment_id: str) -> bool:
        """Tell whether a deployment came to its end, of which the process died."""

    def tidy(self, path: str, deployment_id: str) -> None:
        """Remove what a process that died has left of a deployment."""


def of(bundle: Bundle, verify: Callable[[], None] = lambda: None) -> Publisher:
    """Return the publisher of a writable bundle; ``verify`` may say no, by raising, before files change.

    Raises `BundleNotWritable`.
    """
    if bundle.why_not is None and bundle.kind == bundles.GIT:
        return GitPublication(bundle.native, verify)
    if bundle.why_not is not None or bundle.path is None:
        raise bundles.BundleNotWritable(bundle.name, bundle.why_not or "its folder is not known")
    return LocalPublication(bundle.path, verify)
