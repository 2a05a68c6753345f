"""Calls of the old plugins, as their clients make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

DOORS = {"ebay": "/rest_api/api", "clairvoyant": "/admin/rest_api/api"}


class OldCalls:
    """`old("clairvoyant", "pause", {"dag_id": "etl"})`: a call at the door of a plugin, `name` in the query.

    `query` and `form` are arguments, `files` those of a multipart form; a `form` or a file makes it a POST. `role`
    names the user, None sends no credential. ``below`` is what follows the door in the path.
    """

    def __init__(self, http: httpx.Client, token: Callable[[str], str]) -> None:
        self._http = http
        self._token = token

    def __call__(
        self,
        door: str,
        name: str | None,
        query: Mapping[str, Any] | None = None,
        *,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        method: str | None = None,
        role: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        below: str = "",
    ) -> httpx.Response:
        named = {} if name is None else {"api": name}
        credential = {"Authorization": f"Bearer {self._token(role)}"} if role else {}
        method = method or ("POST" if form is not None or files is not None else "GET")
        return self._http.request(
            method,
            f"{DOORS[door]}{below}",
            params={**named, **(query or {})},
            data=form,
            files=files,
            headers={**credential, **(headers or {})},
            follow_redirects=False,
        )
