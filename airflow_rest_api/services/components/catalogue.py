"""Catalogue: the components that this service knows to start."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_rest_api.services import errors
from airflow_rest_api.services.components import (
    airflow_components,
    celery_components,
    kerberos_component,
    serve_logs_component,
)
from airflow_rest_api.services.components.recipe import Recipe

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            airflow_components.SCHEDULER,
            airflow_components.DAG_PROCESSOR,
            airflow_components.TRIGGERER,
            airflow_components.API_SERVER,
            celery_components.WORKER,
            celery_components.FLOWER,
            kerberos_component.KERBEROS,
            serve_logs_component.SERVE_LOGS,
        )
    }
)


class ComponentNotFound(errors.NotFound):
    """There is no such component."""

    title = "Component not found"

    def __init__(self, component_name: str) -> None:
        super().__init__(
            f"There is no component '{component_name}'; there are {', '.join(RECIPES)}.",
            component_name=component_name,
        )


def find(component_name: str) -> Recipe:
    """Return the recipe of a component. Raises `ComponentNotFound`."""
    if component_name not in RECIPES:
        raise ComponentNotFound(component_name)
    return RECIPES[component_name]
