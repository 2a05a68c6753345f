"""Component: the operations of `openapi/paths/component.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import component as service
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.components.component_log import ComponentLogSource
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def get_components(caller: Caller, settings: Settings) -> Json:
    """List the components of Airflow."""
    return service.get_components(caller=caller, settings=settings)


def get_component(component_name: str, caller: Caller, settings: Settings) -> Json:
    """Get a component of Airflow."""
    return service.get_component(component_name, caller=caller, settings=settings)


def start_component(
    component_name: str, body: Json, caller: Caller, background: Background, settings: Settings, **query: Any
) -> Json:
    """Start a component of Airflow."""
    return service.start_component(
        component_name, query=query, body=body, caller=caller, background=background, settings=settings
    )


def stop_component(
    component_name: str, body: Json, caller: Caller, background: Background, settings: Settings, **query: Any
) -> Json:
    """Stop a component of Airflow."""
    return service.stop_component(
        component_name, query=query, body=body, caller=caller, background=background, settings=settings
    )


def get_component_log(
    component_name: str, media_type: str, settings: Settings, **query: Any
) -> str | bytes | ComponentLogSource:
    """Get the log of a component of Airflow."""
    return service.get_component_log(component_name, query=query, media_type=media_type, settings=settings)
