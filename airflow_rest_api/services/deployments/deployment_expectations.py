"""Expectations: what a caller believes to be at a path that a deployment is about to change."""

from __future__ import annotations

from sqlalchemy.orm import Session

from airflow_rest_api.services import dag_source, errors
from airflow_rest_api.services.deployments import deployed_paths
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.deployments.deployed_paths import Place
from airflow_rest_api.services.deployments.deployment_rows import Order
from airflow_rest_api.services.files.durable_file import FileExists
from airflow_rest_api.services.states import UNCONDITIONAL, Precondition


class FileChanged(errors.PreconditionFailed):
    """The file at the path is not the one that the caller has seen."""

    title = "The file has changed"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"'{path}' is not in the state that If-Match names; read its source again, and decide anew.",
            path=path,
        )


class PathTaken(errors.PreconditionFailed):
    """The path holds a file or a folder, and the caller wanted to create it."""

    title = "The path is taken"

    def __init__(self, path: str) -> None:
        super().__init__(f"'{path}' exists, and `If-None-Match: *` requires that it does not.", path=path)


class NoLongerCurrent(errors.Conflict):
    """Something else stands at the path than the deployment that is to be undone has put there."""

    title = "The deployment is not the newest of its path"

    def __init__(self, deployment_id: str, path: str) -> None:
        super().__init__(
            f"The deployment '{deployment_id}' is not the one whose content is at '{path}', so it cannot be undone;"
            " `get_deployments` tells which is.",
            deployment_id=deployment_id,
            path=path,
        )


class Expectation:
    """What a caller expects to find at the path, asked while the place is claimed; by default nothing at all."""

    def __init__(self, *, force: bool = False, precondition: Precondition = UNCONDITIONAL) -> None:
        """Take whether anything may be replaced (``force``), and what `If-Match` and `If-None-Match` require."""
        self._force = force
        self._precondition = precondition

    def require(self, session: Session, order: Order, before: Content | None) -> None:
        """Raise `FileExists`, `FileChanged` or `PathTaken` unless the path holds the expected or the new content."""
        asked, path = self._precondition, order.place.path
        if before is None:
            if asked.present:
                raise FileChanged(path)
        elif asked.absent:
            raise PathTaken(path)
        elif asked:
            if not _is_in_state(asked, order.place, before):
                raise FileChanged(path)
        elif not (asked.present or self._force or equal(before, order.content)):
            raise FileExists(path)


class StillCurrent(Expectation):
    """Expects that the path holds what a deployment has put there."""

    def __init__(self, deployment_id: str) -> None:
        """Take the deployment that is to be undone."""
        super().__init__()
        self._deployment_id = deployment_id

    def require(self, session: Session, order: Order, before: Content | None) -> None:
        """Raise `NoLongerCurrent` when somebody else has changed the path since."""
        row = rows.read(session, self._deployment_id)
        is_current = deployed_paths.current(session, order.place) == self._deployment_id
        if row is None or not is_current or row.sha256 != (before.sha256 if before else None):
            raise NoLongerCurrent(self._deployment_id, order.place.path)


def equal(one: Content | None, other: Content | None) -> bool:
    """Tell whether two contents, or nothing and nothing, are the same."""
    if one is None or other is None:
        return one is other
    return (one.kind, one.sha256) == (other.kind, other.sha256)


def _is_in_state(precondition: Precondition, place: Place, before: Content) -> bool:
    """Tell whether a file that is at the place has one of the states; of a folder, any of its files."""
    return any(_has_state(precondition, place, *source) for source in before.sources(place.path).items())


def _has_state(precondition: Precondition, place: Place, path: str, data: bytes) -> bool:
    try:
        precondition.require(dag_source.state(place.bundle_name, path, dag_source.as_read(data)))
    except errors.PreconditionFailed:
        return False
    return True
