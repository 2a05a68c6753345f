"""Deploying: what both plugins' `deploy_dag` have in common, from their checks to the DAG that Airflow serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_rest_api.legacy.failures import BadRequest, Failed
from airflow_rest_api.legacy.occupied import Occupied
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services import deployment
from airflow_rest_api.services.deployment import Client, Workshop
from airflow_rest_api.services.deployments import deployment_rows as rows
from airflow_rest_api.services.deployments import destination
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.deployments.deployment_rows import Order
from airflow_rest_api.services.deployments.destination import Destination
from airflow_rest_api.services.files.durable_file import FileExists
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.services.states import UNCONDITIONAL

Json = dict[str, Any]

# How long an old client waits for the answer until its file is served.
SECONDS = 60
# Of each error of a file.
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Wish:
    """What a client has sent."""

    dag_file: Upload | None
    force: bool
    pause: bool
    unpause: bool


@dataclass(frozen=True)
class Deployer:
    """Who deploys, and with what."""

    client: Client
    following: Following
    workshop: Workshop

    def deploy(self, form: Mapping[str, Any], accept: Callable[[Order], None]) -> Json:
        """Deploy what a form has as version 1 does."""
        return deployment.deploy_dag(
            form,
            client=self.client,
            precondition=UNCONDITIONAL,
            following=self.following,
            workshop=self.workshop,
            accept=accept,
        )


@dataclass(frozen=True)
class Manner:
    """How a plugin speaks: the end of its sentence about an occupied place, and the beginning of those about failures.

    ``needs_dag`` where it takes no file without a DAG.
    """

    end: str
    failed: str
    needs_dag: bool


@dataclass(frozen=True)
class Deployed:
    """What was stored at a ``place``; ``unserved`` says so while Airflow does not serve it yet."""

    place: Destination
    dag_ids: list[str]
    unserved: str | None


def module(place: Destination) -> str:
    """Return how Python 3 showed the module that the old plugins had made of a file."""
    return f"<module 'module.name' from '{place.full_path}'>"


def destination_of(wish: Wish, deployer: Deployer, manner: Manner) -> Destination:
    """Check what was sent as the old plugins did, in their order, and return where it goes.

    Raises `BadRequest`, `Occupied`, `Denied`, and what `destination.of` raises.
    """
    if wish.dag_file is None:
        raise BadRequest("dag_file should be provided")
    if not wish.dag_file.name.endswith(".py"):
        raise BadRequest("dag_file is not a *.py file")
    place = destination.of(wish.dag_file.name)
    if not wish.force:
        try:
            place.require_free(deployer.client.caller)
        except FileExists:
            raise Occupied(place.full_path, manner.end) from None
    return place


def deploy(
    wish: Wish,
    options: Mapping[str, bool],
    deployer: Deployer,
    manner: Manner,
    answer: Callable[[Deployed], Json],
) -> Json | Pending:
    """Deploy a file and wait until Airflow serves it, or until it is clear that it will not, at most `SECONDS`.

    Raises what `destination_of` and `deployment.deploy_dag` raise, and `Failed`.
    """
    place = destination_of(wish, deployer, manner)
    stored = _stored(wish, options, deployer, manner, place)
    deployment_id = stored["deployment_id"]

    def ended(entry: Json) -> Json:
        return answer(Deployed(place, entry["dag_ids"], _unserved(entry, manner)))

    def later() -> Json:
        return ended(deployment.get_deployment(deployment_id, caller=deployer.client.caller))

    if stored["state"] in rows.TERMINAL:
        return ended(stored)
    return Pending("deployment", (deployment_id,), rows.TERMINAL, SECONDS, later)


def _stored(
    wish: Wish, options: Mapping[str, bool], deployer: Deployer, manner: Manner, place: Destination
) -> Json:
    def accept(order: Order) -> None:
        if manner.needs_dag and not order.dags:
            raise Failed(f"Failed to get dag from DAG File [{module(place)}]")

    form = {"dag_file": wish.dag_file, "force": wish.force, **options}
    try:
        return deployer.deploy(form, accept)
    except FileExists:
        # Somebody else was faster.
        raise Occupied(place.full_path, manner.end) from None


def _unserved(entry: Json, manner: Manner) -> str | None:
    """Say that Airflow does not serve a deployment yet, None if it does; raises `Failed` when it never will."""
    if entry["state"] == rows.LIVE:
        return None
    if entry["state"] in rows.UNFINISHED:
        return f"Airflow does not serve it yet; the deployment '{entry['deployment_id']}' goes on."
    if entry["state"] == rows.SUPERSEDED:
        newer = entry["superseded_by"]
        raise Failed(f"{manner.failed}: the deployment '{newer}' replaced the file before Airflow served it")
    raise Failed(f"{manner.failed}: {told(entry['errors'])}")


def told(faults: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with a file in one line: where each error is, and its message."""
    return "; ".join(_told(fault) for fault in faults) or "it was taken back"


def _told(fault: Mapping[str, Any]) -> str:
    place = f"line {fault['line']}: " if fault["line"] else ""
    return f"{place}{rows.line_of(fault, _MOST_CHARACTERS)}"
