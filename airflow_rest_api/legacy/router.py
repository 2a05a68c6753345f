"""The old way to name a call, `/api?api=NAME`, turned into the path item `/api/NAME` of `openapi/legacy.yaml`."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send


class LegacyRouter:
    """Rewrites the address of old calls, and hands every request on."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, an old one under its new address."""
        root = scope.get("root_path", "")
        if scope["path"].removeprefix(root).rstrip("/") == "/api":
            scope = _rewritten(scope, root)
        await self._application(scope, receive, send)


def _rewritten(scope: Scope, root: str) -> Scope:
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    name = next((value for key, value in pairs if key == "api"), "").strip().lower()
    if not name:
        return scope
    rest = urlencode([pair for pair in pairs if pair[0] != "api"])
    return {**scope, "path": f"{root}/api/{name}", "query_string": rest.encode()}
