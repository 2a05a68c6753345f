"""The old login's errors: what Flask-AppBuilder and flask-jwt-extended answered, in place of problems."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.legacy import login_errors, token_errors
from airflow_rest_api.web import exchange, problems

_PLACES = ("/security/login", "/security/refresh")


class OldLogin:
    """Answers what is raised at the two addresses of the old login, and hands every request on."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; an error of the old login is answered as it was."""
        place = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "POST" or place not in _PLACES:
            await self._application(scope, receive, send)
            return
        begun: list[Message] = []

        async def watched(message: Message) -> None:
            begun.append(message)
            await send(message)

        try:
            # Nobody looked at a query here.
            await self._application({**scope, "query_string": b""}, receive, watched)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            if begun:
                raise
            await _answer(fault, place, scope, send)


async def _answer(fault: Exception, place: str, scope: Scope, send: Send) -> None:
    problem = problems.of(fault, request_id=exchange.of(scope).request_id)
    if problem.status == 401 and place == "/security/refresh":
        status, told = token_errors.of(fault, dict(scope["headers"]).get(b"authorization"))
    else:
        status, told = login_errors.of(fault, problem.status, problem.detail)
    kept = problem.headers if status == problem.status else {}
    body = orjson.dumps(told)
    await send({"type": "http.response.start", "status": status, "headers": _head(body, kept)})
    await send({"type": "http.response.body", "body": body})


def _head(body: bytes, kept: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    named = {"content-type": "application/json", "content-length": str(len(body)), **kept}
    return [(name.lower().encode(), value.encode()) for name, value in named.items()]
