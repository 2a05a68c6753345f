"""LegacyDag: the operations of `openapi/paths/legacy_dag.yaml`."""

from __future__ import annotations

from airflow_rest_api.legacy.calls import Call, Json
from airflow_rest_api.legacy.clairvoyant import pausing
from airflow_rest_api.services import monitor

# The last release of Clairvoyant's plugin: clients look whether it has what they call.
PLUGIN_VERSION = "1.0.9"


def version(call: Call) -> Json:
    """Get Airflow's version."""
    return call.text(monitor.get_version()["version"])


def rest_api_plugin_version(call: Call) -> Json:
    """Get the version of the old plugin."""
    return call.text(PLUGIN_VERSION)


def pause(call: Call, dag_id: str) -> Json:
    """Pause a DAG."""
    return pausing.set_paused(call, dag_id, is_paused=True)


def unpause(call: Call, dag_id: str) -> Json:
    """Let a paused DAG run again."""
    return pausing.set_paused(call, dag_id, is_paused=False)


post_version = version
post_rest_api_plugin_version = rest_api_plugin_version
post_pause = pause
post_unpause = unpause
