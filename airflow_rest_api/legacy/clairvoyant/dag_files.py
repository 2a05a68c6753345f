"""DAG files, as Clairvoyant's plugin deployed and refreshed them."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy import deploying, mishaps, refreshing
from airflow_rest_api.legacy.calls import Call
from airflow_rest_api.legacy.deploying import Deployed, Deployer, Manner, Wish
from airflow_rest_api.legacy.failures import BadRequest
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_refresh
from airflow_rest_api.services.deployments.deployment_orders import DagRejected

Json = dict[str, Any]

_MANNER = Manner(end=".", failed="Failed to deploy the DAG File", needs_dag=False)
_BOTH = "Both options pause and unpause were given. Skipping setting the state (pause, unpause) of the DAG."
_NO_DAG = "Failed to set the state (pause, unpause) of the DAG: module 'module.name' has no attribute 'dag'"


def deploy_dag(call: Call, wish: Wish, deployer: Deployer) -> Json | Pending:
    """Deploy a DAG, which is paused or not as it was unless one of ``pause`` and ``unpause`` was sent.

    Raises what `deploying.deploy` raises, and `BadRequest` for a file that cannot be imported.
    """

    def answer(deployed: Deployed) -> Json:
        warnings = [_about_state(wish, deployed), deployed.unserved]
        output = f"DAG File [{_file(wish, deployed)}] has been uploaded"
        return call.text(output, " ".join(filter(None, warnings)) or None)

    options = {"pause": wish.pause, "unpause": wish.unpause} if wish.pause != wish.unpause else {}
    try:
        return deploying.deploy(wish, options, deployer, _MANNER, answer)
    except DagRejected as refusal:
        raise BadRequest(f"{_MANNER.failed}: {deploying.told(refusal.members['errors'])}") from None


def _file(wish: Wish, deployed: Deployed) -> str:
    """Return how the plugin showed the file: as a module, which it imported for one of the flags, or as it came in."""
    if wish.pause != wish.unpause:
        return deploying.module(deployed.place)
    name = deployed.place.path
    return f"<FileStorage: {name!r} ('application/octet-stream')>"


def _about_state(wish: Wish, deployed: Deployed) -> str | None:
    if wish.pause and wish.unpause:
        return _BOTH
    return _NO_DAG if (wish.pause or wish.unpause) and not deployed.dag_ids else None


def refresh_dag(call: Call, dag_id: str, caller: Caller, background: Background) -> Json:
    """Ask for the file of a DAG; raises `BadRequest` unless the query names it, and `Failed`."""
    named = call.query.get("dag_id")
    if not named:
        raise BadRequest("dag_id should be provided")
    if " " in named:
        raise BadRequest("dag_id contains spaces and is therefore an illegal argument")
    with mishaps.while_trying_to(f"Refresh the DAG '{dag_id}'"):
        dag_refresh.refresh_dag(dag_id, dry_run=False, caller=caller, background=background)
    return call.text(f"DAG [{dag_id}] is now fresh as a daisy")


def refresh_all_dags(call: Call, caller: Caller, background: Background) -> Json:
    """Ask for all files of which the caller may change the DAGs, and name these; raises `Failed`."""
    refreshing.refresh_all(caller, background)
    dags = ", ".join(f"{dag_id!r}: <DAG: {dag_id}>" for dag_id in dag_refresh.refreshable(caller=caller))
    return call.text(f"{{{dags}}}; All DAGs are now refreshed!")
