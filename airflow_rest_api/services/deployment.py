"""Deployments: from a file that somebody sends to DAGs that Airflow serves, and back again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_rest_api.services import errors, retries
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.deployments import (
    bundles,
    deployed_dags,
    deployment_orders,
    deployment_pages,
    deployment_storing,
    differences,
)
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments.deployment_expectations import (
    Expectation,
    NoLongerCurrent,
    StillCurrent,
)
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.deployments.deployment_rows import Entry, Order, Origin
from airflow_rest_api.services.deployments.submission import submitted
from airflow_rest_api.services.states import Precondition
from airflow_rest_api.storage.tables import deployment as table
from airflow_rest_api.storage.tables import deployment_dag

if TYPE_CHECKING:
    from airflow_rest_api.sandbox.box import Sandbox


class DeploymentNotFound(errors.NotFound):
    """There is no such deployment, or the caller may not see it."""

    title = "Deployment not found"

    def __init__(self, deployment_id: str) -> None:
        super().__init__(f"The deployment '{deployment_id}' was not found.", deployment_id=deployment_id)


class ContentNotKept(errors.Conflict):
    """What stood at the path before is not kept any more."""

    title = "The former content is not kept any more"

    def __init__(self, deployment_id: str) -> None:
        super().__init__(
            f"What stood there before the deployment '{deployment_id}' is not kept any more; deploy it again.",
            deployment_id=deployment_id,
        )


@dataclass(frozen=True)
class Client:
    """Who asks, and from which network address."""

    caller: Caller
    address: str | None

    def origin(self, began: datetime) -> Origin:
        """Return what is kept of who asked."""
        return Origin(self.caller.id, self.caller.name, self.address, began)


@dataclass(frozen=True)
class Workshop:
    """Where a submission is looked at, and how large an archive may be."""

    sandbox: Sandbox
    max_archive_kib: int


def get_deployments(*, query: Mapping[str, Any], caller: Caller) -> Entry:
    """List the deployments that the caller may see; raises `OrderNotAllowed` and `InvalidCursor`."""
    with reading() as session:
        return deployment_pages.read(session, query, caller)


def get_deployment(deployment_id: str, *, caller: Caller) -> Entry:
    """Return a deployment with what it changed; raises `DeploymentNotFound`.

    The difference is withheld from those who may not read the source of all DAGs that it is about.
    """
    with reading() as session:
        row = _visible(session, deployment_id, caller)
        dag_ids = _dag_ids(session, row.id)
        diff = _difference(session, row) if _may_read(dag_ids, row, caller) else None
    return {**rows.entry(row, is_current=bool(row.is_current)), "diff": diff}


def deploy_dag(
    form: Mapping[str, Any],
    *,
    client: Client,
    precondition: Precondition,
    following: Following,
    workshop: Workshop,
    accept: Callable[[Order], None] = lambda _: None,
) -> Entry:
    """Check what a form sends, store it where Airflow takes its files from, and follow it until it is served.

    Raises what `submitted`, `deployment_orders.made` and `deployment_storing.store` raise, and what ``accept`` raises
    at the order that all was well with: then nothing was stored.
    """
    began, (new_id, is_repeated) = datetime.now(timezone.utc), planned()
    if is_repeated:
        return deployment_storing.again(new_id)
    with submitted(form, max_archive_kib=workshop.max_archive_kib) as submission:
        order = deployment_orders.made(form, submission, caller=client.caller, sandbox=workshop.sandbox)
        accept(order)
        expected = Expectation(force=bool(form.get("force")), precondition=precondition)
        entry = deployment_storing.store(new_id, order, client.origin(began), submission.bundle, expected)
    following.run()
    return entry


def rollback_deployment(
    deployment_id: str, *, message: str | None, client: Client, following: Following
) -> Entry:
    """Give a path back what it held before its newest deployment, as a new deployment.

    Raises `DeploymentNotFound`, `NoLongerCurrent`, `ContentNotKept`, `Denied`, `BundleNotWritable`.
    """
    new_id, is_repeated = planned()
    if is_repeated:
        return deployment_storing.again(new_id)
    with reading() as session:
        row = _visible(session, deployment_id, client.caller)
        before = rows.before_of(session, row)
        present = deployed_dags.at(session, rows.place_of(row))
    if not row.is_current:
        raise NoLongerCurrent(deployment_id, row.path)
    if before is None and row.previous_sha256 is not None:
        raise ContentNotKept(deployment_id)
    dags = row.options["dags_before"]
    order = Order(
        place=rows.place_of(row),
        kind=before.kind if before else row.kind,
        content=before,
        dags=dags,
        permitted=deployment_orders.permitted({*present, *dags, *row.options["dags"]}, client.caller),
        # What comes back was there before; there is nothing better to be put in its place.
        keep_on_error=True,
        message=message,
        rollback_of=row.id,
    )
    bundle = bundles.writable(row.bundle_name)
    origin = client.origin(datetime.now(timezone.utc))
    entry = deployment_storing.store(new_id, order, origin, bundle, StillCurrent(row.id))
    following.run()
    return entry


def planned() -> tuple[str, bool]:
    """Return the id of what the present call makes, and whether an earlier attempt at the call has made it.

    It is the same for each repetition of a call with a key, until an attempt was lost before anything was stored:
    that one is done again, as another deployment.
    """
    given = retries.planned_id()
    deployment_id = UUID(given) if given else uuid4()
    while (row := _resolved(str(deployment_id))) is not None:
        if not rows.is_lost(row):
            return str(deployment_id), True
        deployment_id = uuid5(deployment_id, rows.LOST)
    return str(deployment_id), False


def _resolved(deployment_id: str) -> Any:
    """Read a deployment; one whose process died in the middle is brought to an end first."""
    with reading() as session:
        row = rows.read(session, deployment_id)
    if row is None or row.state != rows.CHECKED:
        return row
    deployment_storing.resolve_if_lost(row)
    with reading() as session:
        return rows.read(session, deployment_id)


def _visible(session: Session, deployment_id: str, caller: Caller) -> Any:
    conditions = (table.c.id == deployment_id, *deployment_pages.visible(caller))
    row = session.execute(deployment_pages.STATEMENT.where(*conditions)).one_or_none()
    if row is None:
        raise DeploymentNotFound(deployment_id)
    return row


def _dag_ids(session: Session, deployment_id: str) -> list[str]:
    mine = deployment_dag.c.deployment_id == deployment_id
    return list(session.scalars(select(deployment_dag.c.dag_id).where(mine)))


def _may_read(dag_ids: list[str], row: Any, caller: Caller) -> bool:
    if not dag_ids:
        return bool(row.caller_id == caller.id) or caller.permissions.may_power("deploy")
    return all(caller.permissions.may_dag(dag_id, "GET", "CODE") for dag_id in dag_ids)


def _difference(session: Session, row: Any) -> str | None:
    """Return what a deployment changed, None where one of the two contents is not kept any more."""
    after, before = rows.content_of(session, row.id), rows.before_of(session, row)
    if (after is None and row.sha256 is not None) or (before is None and row.previous_sha256 is not None):
        return None
    return differences.unified(before, after, row.path)
