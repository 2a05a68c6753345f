"""Clients of the two services, ours and Airflow's own, that a test drives in the same words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

REST = "/rest_api/v1"
V2 = "/api/v2"
# How long Airflow's own service is asked again what it refuses because of others.
SECONDS = 30


class Client:
    """One service below its prefix: `client.get("/dags", params={…}, role="viewer")` answers an `httpx.Response`.

    `role` names the user (see `tokens`); None sends no credential, and a header given in `headers` wins.
    Everything else goes to httpx. No redirect is followed and no error raised.
    """

    def __init__(self, http: httpx.Client, prefix: str, token: Callable[[str], str]) -> None:
        self.http = http
        self.prefix = prefix
        self._token = token

    def request(
        self,
        method: str,
        path: str,
        *,
        role: str | None = "admin",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        credential = {"Authorization": f"Bearer {self._token(role)}"} if role else {}
        options.setdefault("follow_redirects", False)
        headers = {**credential, **(headers or {})}
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self.http.request(method, self.prefix + path, headers=headers, **options)
            # Airflow's own makes no backfill while a server beside it writes to SQLite, and has done nothing then.
            is_told_to_wait = answer.status_code == 503 and "Database is locked" in answer.text
            if self.prefix != V2 or not is_told_to_wait or time.monotonic() > deadline:
                return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


class Tokens:
    """Airflow's own tokens, one per role, which both services accept.

    The role `nobody` is a user without a role: known, and allowed nothing.
    """

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def __call__(self, role: str) -> str:
        if role not in self._made:
            self._made[role] = self._make(role)
        return self._made[role]

    def _make(self, role: str) -> str:
        from airflow.api_fastapi.app import create_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        user = SimpleAuthManagerUser(username=role, role=None if role == "nobody" else role)
        return create_auth_manager().generate_jwt(user)
