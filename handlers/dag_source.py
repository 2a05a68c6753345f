"""DagSource: the operation of `openapi/paths/dag_source.yaml`."""

from __future__ import annotations

from dataclasses import replace

from airflow_rest_api.services import dag_source as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.states import Stated


def get_dag_source(dag_id: str, version_number: int | None, caller: Caller, media_type: str) -> Stated:
    """Get the source of a DAG."""
    source = service.get_dag_source(dag_id, version_number=version_number, caller=caller)
    return replace(source, answer=source.answer["content"]) if media_type == "text/plain" else source
