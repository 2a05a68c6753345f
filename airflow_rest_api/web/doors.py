"""Doors: the public prefixes under which the one application is reached, the same in Airflow and standalone."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

DIALECT_KEY = "airflow_rest_api.dialect"
# Where version 1 is served, whichever door leads to its page.
API_ROOT_KEY = "airflow_rest_api.api_root"


@dataclass(frozen=True)
class Door:
    """A public prefix; ``root`` is the part of it that lies before the contracts' base paths.

    Only what is below one of ``admits`` may be asked for here: `/admin/rest_api` has the old calls and the page.
    """

    prefix: str
    root: str
    admits: tuple[str, ...]
    dialect: str

    def opens(self, path: str) -> bool:
        """Tell whether the path, taken below ``root``, may be asked for here."""
        return path in ("", "/") or any(
            path == place or path.startswith(f"{place}/") for place in self.admits
        )


DOORS = (
    Door("/rest_api", "/rest_api", ("/v1", "/api"), "ebay"),
    Door(
        "/admin/rest_api",
        "/admin/rest_api",
        ("/v1/ui", "/v1/openapi.json", "/v1/legacy.json", "/api"),
        "clairvoyant",
    ),
    Door("/api/v1/security", "/api/v1", ("/security",), "ebay"),
)


def enter(door: Door, outer: str, scope: Scope) -> Scope:
    """Return the scope as the application sees it behind a door; raises 404 for what is not served there.

    ``outer`` is the prefix of a proxy or of Airflow itself, before the door's.
    """
    root = f"{outer}{door.root}"
    path = scope["path"] if scope["path"].startswith(f"{outer}/") else f"{outer}{scope['path']}"
    if not door.opens(path.removeprefix(root)):
        raise HTTPException(404)
    keys = {DIALECT_KEY: door.dialect, API_ROOT_KEY: f"{outer}{DOORS[0].root}"}
    return {**scope, "path": path, "root_path": root, **keys}


class FrontDoor:
    """Finds the door for an address, for the service that runs standalone."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to the application behind its door."""
        outer = scope.get("root_path", "")
        path = scope["path"].removeprefix(outer) if scope["path"].startswith(f"{outer}/") else scope["path"]
        for door in DOORS:
            if path == door.prefix or path.startswith(f"{door.prefix}/"):
                await self._application(enter(door, outer, scope), receive, send)
                return
        raise HTTPException(404)


class MountedDoor:
    """One door of the service that is mounted in Airflow's API server, under the door's prefix."""

    def __init__(self, application: ASGIApp, door: Door) -> None:
        self._application = application
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to the application; the mount's own prefix ends the root path."""
        outer = scope.get("root_path", "").removesuffix(self._door.prefix)
        await self._application(enter(self._door, outer, scope), receive, send)
