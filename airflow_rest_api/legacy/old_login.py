"""The old login's answers: the errors of Flask-AppBuilder and flask-jwt-extended in place of problems."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.legacy import login_errors, token_errors
from airflow_rest_api.legacy.successors import Successors, deprecation
from airflow_rest_api.services import json_encoding
from airflow_rest_api.web import exchange, problems
from airflow_rest_api.web.doors import API_ROOT_KEY

_LOGIN, _REFRESH = "/security/login", "/security/refresh"
_SUCCESSORS = MappingProxyType({_LOGIN: "login", _REFRESH: "refresh_token"})


class OldLogin:
    """Answers what is raised at the two addresses of the old login, and hands every request on."""

    def __init__(self, application: ASGIApp, successors: Successors) -> None:
        self._application = application
        self._successors = successors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; an error of the old login is answered as it was."""
        place = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "POST" or place not in _SUCCESSORS:
            await self._application(scope, receive, send)
            return
        address = f"{scope[API_ROOT_KEY]}{self._successors.place(_SUCCESSORS[place])}"
        answer = _Answer(send, deprecation(address))
        try:
            # Nobody looked at a query here.
            await self._application({**scope, "query_string": b""}, receive, answer.send)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            if answer.begun:
                raise
            await _refuse(fault, place, scope, answer)


async def _refuse(fault: Exception, place: str, scope: Scope, answer: _Answer) -> None:
    problem = problems.of(fault, request_id=exchange.of(scope).request_id)
    if problem.status == 401 and place == _REFRESH:
        status, told = token_errors.of(fault, dict(scope["headers"]).get(b"authorization"))
    else:
        status, told = login_errors.of(fault, problem.status, problem.detail)
    await answer.send_json(status, told, problem.headers if status == problem.status else {})


class _Answer:
    """The way out, with the headers of an old call."""

    def __init__(self, send: Send, further: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._further = further
        self.begun = False

    async def send(self, message: Message) -> None:
        self.begun = True
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *self._further]}
        await self._send(message)

    async def send_json(self, status: int, told: Mapping[str, str], further: Mapping[str, str]) -> None:
        body = json_encoding.encode(told)
        named = {"content-type": "application/json", "content-length": str(len(body)), **further}
        head = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})
