"""LegacyDeployment: the operations of `openapi/paths/legacy_deployment.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.legacy.calls import EBAY, Call
from airflow_rest_api.legacy.clairvoyant import dag_files as clairvoyant
from airflow_rest_api.legacy.deploying import Deployer, Wish
from airflow_rest_api.legacy.ebay import dag_files as ebay
from airflow_rest_api.legacy.ebay import files
from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.deployment import Client, Workshop
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def deploy_dag(
    *,
    call: Call,
    caller: Caller,
    client: str,
    following: Following,
    sandbox: Any,
    settings: Settings,
    **sent: Any,
) -> Json | Pending:
    """Deploy a DAG."""
    workshop = Workshop(sandbox, settings.max_archive_kib)
    deployer = Deployer(Client(caller, client), following, workshop)
    deploy = ebay.deploy_dag if call.dialect == EBAY else clairvoyant.deploy_dag
    return deploy(call, Wish(**sent), deployer)


def refresh_all_dags(call: Call, caller: Caller, background: Background) -> Json:
    """Refresh all DAGs."""
    refresh = ebay.refresh_all_dags if call.dialect == EBAY else clairvoyant.refresh_all_dags
    return refresh(call, caller, background)


def refresh_dag(call: Call, dag_id: str, caller: Caller, background: Background) -> Json:
    """Refresh a DAG."""
    return clairvoyant.refresh_dag(call, dag_id, caller, background)


def delete_dag(call: Call, dag_id: str, caller: Caller) -> Json:
    """Delete a DAG and its file."""
    return ebay.delete_dag(call, dag_id, caller)


def upload_file(
    *, call: Call, caller: Caller, settings: Settings, file: Upload | None, force: bool, path: str | None
) -> Json:
    """Upload a file."""
    return files.upload_file(call, file, force=force, folder=path, caller=caller, roots=settings.upload_roots)


post_refresh_all_dags = refresh_all_dags
post_refresh_dag = refresh_dag
post_delete_dag = delete_dag
