"""The plugin: how Airflow finds this service and mounts it into its API server.

Every process of Airflow imports this module, most of them for nothing: the application is built at the first
request, and nothing of it is imported before.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

RETRY_SECONDS = 30
PREFIXES = ("/rest_api", "/admin/rest_api", "/api/v1/security")


class _Mounts:
    """The applications behind all prefixes, built once; a failure is told, and never reaches Airflow.

    After a failure the next try is `RETRY_SECONDS` away: the database may have been down for a moment only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[str, Any] = {}
        self._next_try = 0.0
        self.faults: list[str] = []

    def application(self, prefix: str) -> Any | None:
        """Return the application for ``prefix``, None when it cannot be built; ``faults`` says why."""
        with self._lock:
            if not self._built and time.monotonic() >= self._next_try:
                self._built = self._build()
                self._next_try = time.monotonic() + RETRY_SECONDS
        return self._built.get(prefix)

    def _build(self) -> dict[str, Any]:
        try:
            from airflow_rest_api.web.app import StartError, create_mounted
        except Exception:
            return self._failed(["its modules cannot be imported; Airflow's log knows more"])
        try:
            return create_mounted()
        except StartError as fault:
            return self._failed(fault.faults)
        except Exception:
            return self._failed(["it failed unexpectedly; Airflow's log knows more"])

    def _failed(self, faults: list[str]) -> dict[str, Any]:
        self.faults = faults
        log.exception("airflow-rest-api does not start: %s", "; ".join(faults))
        return {}


class LazyMount:
    """The ASGI application that Airflow mounts under ``prefix``."""

    def __init__(self, mounts: _Mounts, prefix: str) -> None:
        self._mounts = mounts
        self._prefix = prefix
        self._application: Any | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request; the first one waits until the application is built."""
        if self._application is None:
            self._application = await asyncio.to_thread(self._mounts.application, self._prefix)
        if self._application is not None:
            await self._application(scope, receive, send)
        else:
            await self._refuse(scope, send)

    async def _refuse(self, scope: Any, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1013})
            return
        from airflow_rest_api.web import headers

        problem = {
            "type": "urn:airflow-rest-api:problem:not-started",
            "title": "The service did not start",
            "status": 503,
            "detail": "; ".join(self._mounts.faults),
            "instance": scope.get("path", ""),
            "request_id": "",
        }
        head = [
            (b"content-type", b"application/problem+json"),
            (b"retry-after", str(RETRY_SECONDS).encode()),
            *headers.completing(scope.get("scheme")),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps(problem).encode()})


class LineBreakRouting:
    """ASGI middleware of Airflow's application that routes paths with a line break to the mounts.

    Starlette's routes do not match them, because `.` in their patterns excludes a line break (starlette/routing.py).
    """

    def __init__(self, app: Any, mounts: Mapping[str, Any]) -> None:
        self._app = app
        self._mounts = mounts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request to the mount of its prefix if its path has a line break, else to Airflow."""
        if scope["type"] == "http" and "\n" in scope["path"]:
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root)
            for prefix, mount in self._mounts.items():
                if path.startswith(f"{prefix}/"):
                    await mount({**scope, "root_path": f"{root}{prefix}"}, receive, send)
                    return
        await self._app(scope, receive, send)


_MOUNTS = _Mounts()
_LAZY_MOUNTS = {prefix: LazyMount(_MOUNTS, prefix) for prefix in PREFIXES}


def _menu_address() -> str:
    """Return the page's address; Airflow does not put the path of `[api] base_url` before it."""
    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return f"{base}/rest_api/v1/ui/"


class RestApiPlugin(AirflowPlugin):
    """Mounts the service and puts *REST API* into Airflow's *Admin* menu."""

    name = "airflow_rest_api"
    fastapi_apps = [  # noqa: RUF012 Airflow types it as an attribute of instances
        {"app": mount, "url_prefix": prefix, "name": f"REST API at {prefix}"}
        for prefix, mount in _LAZY_MOUNTS.items()
    ]
    fastapi_root_middlewares = [  # noqa: RUF012 as above
        {
            "middleware": LineBreakRouting,
            "kwargs": {"mounts": _LAZY_MOUNTS},
            "name": "REST API: names with line breaks",
        }
    ]
    external_views = [  # noqa: RUF012 as above
        {
            "name": "REST API",
            "href": _menu_address(),
            "url_route": "rest_api",
            "category": "admin",
            "destination": "nav",
        }
    ]
