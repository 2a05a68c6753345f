"""DAG files, as eBay's plugin deployed, refreshed and deleted them."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy import deploying, mishaps, refreshing
from airflow_rest_api.legacy.calls import Call
from airflow_rest_api.legacy.deploying import Deployed, Deployer, Manner, Wish
from airflow_rest_api.legacy.failures import Failed
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import dag_deletion
from airflow_rest_api.services.deployments.deployment_orders import DagRejected
from airflow_rest_api.services.states import UNCONDITIONAL

Json = dict[str, Any]

_MANNER = Manner(end="", failed="Failed to get dag_file", needs_dag=True)


def deploy_dag(call: Call, wish: Wish, deployer: Deployer) -> Json | Pending:
    """Deploy a DAG, which is paused afterwards unless ``unpause`` was sent.

    Raises what `deploying.deploy` raises, and `Failed` for a file that cannot be imported.
    """

    def answer(deployed: Deployed) -> Json:
        sentence = f"DAG File [{deploying.module(deployed.place)}] has been uploaded"
        return call.flat(message=f"{sentence}. {deployed.unserved}" if deployed.unserved else sentence)

    options = {"pause": not wish.unpause, "unpause": wish.unpause}
    try:
        return deploying.deploy(wish, options, deployer, _MANNER, answer)
    except DagRejected as refusal:
        raise Failed(f"{_MANNER.failed}: {deploying.told(refusal.members['errors'])}") from None


def refresh_all_dags(call: Call, caller: Caller, background: Background) -> Json:
    """Ask for all files of which the caller may change the DAGs; raises `Failed`."""
    refreshing.refresh_all(caller, background)
    return call.flat(message="All DAGs are now up to date")


def delete_dag(call: Call, dag_id: str, caller: Caller) -> Json:
    """Delete a DAG with its file; raises `Failed`."""
    with mishaps.while_trying_to(f"delete the DAG '{dag_id}'"):
        dag_deletion.delete_dag(dag_id, delete_file=True, precondition=UNCONDITIONAL, caller=caller)
    return call.flat(message=f"DAG [{dag_id}] deleted")
