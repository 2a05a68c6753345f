"""Destinations: where a file would be deployed to that is sent under a name, and what stands there."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import (
    bundles,
    deployed_dags,
    deployment_orders,
    publication,
)
from airflow_rest_api.services.deployments.bundles import Bundle
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.files import confined
from airflow_rest_api.services.files.durable_file import FileExists


@dataclass(frozen=True)
class Destination:
    """A path of a bundle, made with `of`."""

    bundle: Bundle
    path: str

    @property
    def full_path(self) -> str:
        """Where it is on this machine; of a bundle without a folder here, below the bundle's name."""
        return f"{self.bundle.path or self.bundle.name}/{self.path}"

    def require_free(self, caller: Caller) -> None:
        """Raise `FileExists` where something stands there, `Denied` to who may not change it."""
        with reading() as session:
            present = deployed_dags.at(session, Place(self.bundle.name, self.path))
        deployment_orders.permitted(present, caller)
        if publication.of(self.bundle).read(self.path) is not None:
            raise FileExists(self.path)


def of(file_name: str) -> Destination:
    """Return where a file goes without a bundle and a path; raises `NoWritableBundle` and `BadPath`."""
    path = confined.clean(file_name)
    confined.segments(path)
    return Destination(bundles.writable(), path)
