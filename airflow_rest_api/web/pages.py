"""Pages: the bundled contracts as JSON and YAML, and Swagger UI to read and try them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import orjson
import yaml
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

from airflow_rest_api.web.contract import Document
from airflow_rest_api.web.doors import API_ROOT_KEY
from airflow_rest_api.web.paths import allow

_UI = "/v1/ui/"
# The contract that is answered at every door which has the page; the other one only below `/rest_api`.
_BESIDE_THE_PAGE = "legacy"
_PAGE_HEADERS = {
    # Swagger UI sets styles from its script; Airflow's own page may show it in a frame.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    ),
    "cache-control": "no-cache",
}


class Pages:
    """Serves what is no operation, and hands everything else on."""

    def __init__(self, application: ASGIApp, contracts: Mapping[str, tuple[Document, str]]) -> None:
        """Take, by file name below `/v1/`, each contract and its base path."""
        self._application = application
        self._contracts = contracts
        self._assets = _Assets()
        # Few prefixes lead here: one in Airflow's API server, one or two behind a proxy.
        self._rendered = lru_cache(maxsize=16)(self._render)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a page, or let the contract's operations answer."""
        root = scope.get("root_path", "")
        page = self._page(scope["path"].removeprefix(root), root, scope[API_ROOT_KEY])
        if page is None:
            await self._application(scope, receive, send)
        elif scope["method"] != "GET":
            raise HTTPException(405, headers=allow({"GET"}))
        else:
            await page(scope, receive, send)

    def _page(self, path: str, root: str, api_root: str) -> ASGIApp | None:
        if path in ("", "/", "/v1", "/v1/", "/v1/ui"):
            return RedirectResponse(f"{root}{_UI}", headers={"cache-control": "no-store"})
        if path.startswith(_UI):
            return self._assets.serve(path.removeprefix(_UI) or "index.html")
        name = path.removeprefix("/v1/")
        stem, _, form = name.rpartition(".")
        if name != path and stem in self._contracts and form in ("json", "yaml"):
            return self._rendered(stem, form, root if stem == _BESIDE_THE_PAGE else api_root)
        return None

    def _render(self, stem: str, form: str, root: str) -> ASGIApp:
        document, base = self._contracts[stem]
        served = {**document, "servers": [{"url": f"{root}{base}"}]}
        headers = {"cache-control": "no-cache"}
        if form == "json":
            return Response(orjson.dumps(served), media_type="application/json", headers=headers)
        text = yaml.safe_dump(served, sort_keys=False, allow_unicode=True, width=120)
        return Response(text, media_type="application/yaml", headers=headers)


class _Assets:
    """The files of Swagger UI, from its package, and the two of our own page."""

    def __init__(self) -> None:
        page = Path(str(files("airflow_rest_api.web") / "page"))
        self._own = {entry.name: StaticFiles(directory=page) for entry in page.iterdir()}
        self._bundled = StaticFiles(directory=swagger_ui_path)

    def serve(self, name: str) -> ASGIApp:
        """Return an application that answers the file ``name``; 404 for one that is not there."""
        source = self._own.get(name, self._bundled)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await source.get_response(name, scope)
            response.headers.update(_PAGE_HEADERS)
            await response(scope, receive, send)

        return answer
