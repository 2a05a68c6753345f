"""Powers: what reaches beyond anything that Airflow's own permissions speak of, so an administrator grants it.

Who deploys a file becomes an author of DAGs; who starts a component manages the deployment; who reveals a
connection has its password. No permission of
Airflow's fits: under Flask-AppBuilder nobody may create DAGs, and under the SimpleAuthManager every viewer has
every custom view. Each power is a resource of its own, asked for in the way of the configured auth manager:

- Flask-AppBuilder: the permission `can edit` on the power's resource (`fab_grants.py`).
- SimpleAuthManager: the role ADMIN.
- Any other: `is_authorized_custom_view` with method PUT; no clear yes is a no.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from airflow_rest_api.security import auth_manager, fab_grants
from airflow_rest_api.services import errors

log = logging.getLogger(__name__)

# The resource of each power, as an administrator reads it in the list of permissions.
RESOURCES: Mapping[str, str] = MappingProxyType(
    {
        "deploy": "REST API Deploy",
        "files": "REST API Files",
        "components": "REST API Components",
        "test": "REST API Test",
        "reveal": "REST API Reveal",
    }
)


class PowerMissing(errors.Denied):
    """No administrator has granted the power that the operation needs."""

    title = "A power is missing"

    def __init__(self, name: str, power: str) -> None:
        super().__init__(
            f"The user '{name}' lacks the power '{power}', which an administrator grants"
            f" ({_granted_by(RESOURCES[power])}).",
            power=power,
        )


def prepare() -> None:
    """Make sure that the powers can be granted; to be called by each start and by `airflow-rest-api db migrate`."""
    if auth_manager.is_fab_configured():
        fab_grants.create_missing(RESOURCES.values())


def granted(user: Any, power: str) -> bool:
    """Tell whether an administrator has granted this power to a user of the auth manager."""
    if auth_manager.is_simple():
        return (user.role or "").upper() == "ADMIN"
    resource = RESOURCES[power]
    if not _manager_permits(user, resource):
        return False
    return not auth_manager.is_fab() or fab_grants.is_held(auth_manager.role_ids_of(user), resource)


def _manager_permits(user: Any, resource: str) -> bool:
    question = auth_manager.manager().is_authorized_custom_view
    try:
        return bool(auth_manager.ask(question, method="PUT", resource_name=resource, user=user))
    except Exception:
        # A manager that does not know our resources may do anything with the question.
        log.warning("The auth manager could not be asked for '%s': it counts as not granted", resource)
        return False


def _granted_by(resource: str) -> str:
    if auth_manager.is_simple():
        return "the role ADMIN has it"
    return f"'can edit on {resource}'" if auth_manager.is_fab() else f"PUT on the custom view '{resource}'"
