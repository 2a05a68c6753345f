"""Permits: whether a component may be started and stopped on this host, and by whom."""

from __future__ import annotations

from airflow_rest_api.services import errors
from airflow_rest_api.services.caller import Permissions
from airflow_rest_api.services.components.recipe import Recipe
from airflow_rest_api.settings import SECTION, Settings
from airflow_rest_api.supervision import registry

SWITCH, POWER = "components_enabled", "components"


class ComponentNotEnabled(errors.Denied):
    """The administrator has not named the component among those that may be started and stopped here."""

    title = "A switch is off"

    def __init__(self, component_name: str) -> None:
        super().__init__(
            f"The component '{component_name}' is switched off here: the administrator has not named it in"
            f" [{SECTION}] {SWITCH}.",
            switch=SWITCH,
            component_name=component_name,
        )


class ComponentUnfit(errors.Conflict):
    """This installation lacks what the component needs."""

    title = "The component cannot be started here"

    def __init__(self, component_name: str, why: str) -> None:
        super().__init__(
            f"The component '{component_name}' cannot be started here. {why}", component_name=component_name
        )


def require_enabled(recipe: Recipe, settings: Settings) -> None:
    """Raise `ComponentNotEnabled` unless the setting names the component."""
    if recipe.name not in settings.components_enabled:
        raise ComponentNotEnabled(recipe.name)


def require_fit(recipe: Recipe) -> None:
    """Raise `ComponentUnfit` unless there is here what the component needs."""
    if (why := _lack(recipe)) is not None:
        raise ComponentUnfit(recipe.name, why)


def why_not(recipe: Recipe, settings: Settings, permissions: Permissions) -> str | None:
    """Return in one sentence why the caller may not start a component here, None when nothing is in the way."""
    if recipe.name not in settings.components_enabled:
        return f"The administrator has not named it in [{SECTION}] {SWITCH}."
    if not permissions.may_power(POWER):
        return f"You lack the power '{POWER}', which an administrator grants."
    return _lack(recipe)


def _lack(recipe: Recipe) -> str | None:
    return registry.why_not() or recipe.missing()
