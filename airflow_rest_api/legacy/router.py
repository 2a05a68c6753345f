"""The router: an old call, `/api?api=NAME`, checked in the old order and turned into the path item `/api/NAME`.

Whatever becomes of it is answered in the dialect of the plugin that was called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_rest_api.legacy import arguments, dialects, safety
from airflow_rest_api.legacy.calls import CLAIRVOYANT, Call
from airflow_rest_api.legacy.catalogue import OldCall
from airflow_rest_api.legacy.failures import BadRequest
from airflow_rest_api.legacy.identity import Identity
from airflow_rest_api.legacy.successors import Successors, deprecation
from airflow_rest_api.legacy.usage import Usage
from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import dag, json_encoding
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.dags import missing_dag
from airflow_rest_api.services.errors import Denied
from airflow_rest_api.settings import Settings
from airflow_rest_api.web import exchange, limits, paths, problems
from airflow_rest_api.web.bridge import Overloaded, Workers
from airflow_rest_api.web.doors import API_ROOT_KEY, DIALECT_KEY
from airflow_rest_api.web.exchange import Exchange
from airflow_rest_api.web.guard import Recorder
from airflow_rest_api.web.problems import Problem

METHODS = ("GET", "POST")
# Releases 0.0.1 and 0.0.2 of Clairvoyant's plugin had the address `/admin/rest_api/api/v1.0/NAME`.
_FIRST_RELEASES = "v1.0"


@dataclass(frozen=True)
class Surroundings:
    """What of the application the router works with."""

    settings: Settings
    identity: Identity
    successors: Successors
    workers: Workers
    recorder: Recorder
    usage: Usage
    redactor: Redactor


class LegacyRouter:
    """Answers old calls, and hands every other request on."""

    def __init__(self, application: ASGIApp, known: Mapping[str, OldCall], around: Surroundings) -> None:
        """Take the old calls by name."""
        self._application = application
        self._known = known
        self._around = around
        self._settings = around.settings
        self._workers = around.workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an old call; every error of it in its dialect."""
        place = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        if place != "/api" and not place.startswith("/api/"):
            await self._application(scope, receive, send)
            return
        if scope["method"] not in METHODS:
            raise HTTPException(405, headers=paths.allow(METHODS))
        current = exchange.of(scope)
        answer = _Answer(send, scope[API_ROOT_KEY], self._around.successors)
        call = Call(dialects.of_door(self._settings.legacy_dialect, scope[DIALECT_KEY]))
        current.call = call
        try:
            await self._carry_out(call, _named(place, scope[DIALECT_KEY]), scope, receive, answer)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            if answer.status:
                raise
            await self._refuse(current, fault, answer, dict(scope["headers"]).get(b"authorization"))
        finally:
            # Of a call that comes to no handler nobody else closes the files.
            current.closing.close()
        if self._around.usage.note(current, call):
            # The answer is out: where nobody can write the mark, the next call leaves it.
            with suppress(Overloaded):
                await self._workers.run(self._around.usage.mark, current, call, answer.status)

    async def _carry_out(
        self, call: Call, named: str, scope: Scope, receive: Receive, answer: _Answer
    ) -> None:
        """Check in the order of the old dispatchers: who calls, what, with which arguments, about which DAG."""
        limits.admit_address(scope)
        current = exchange.of(scope)
        query = arguments.pairs(scope["query_string"])
        answer.old = old = self._known.get(_plain(named or query.get(arguments.NAME, "")))
        call.old, call.name = old, old.name if old is not None else ""
        current.caller = caller = await self._around.identity.identify(
            call.dialect, scope["headers"], self._workers
        )
        texts, files = await self._form(old, scope, receive, caller)
        answer.old = old = dialects.settle(
            call, self._known, self._settings.legacy_dialect, named, query, texts
        )
        call.values = arguments.values(old, call.dialect, query, texts, files)
        current.arguments = old.arguments_of(call.values)
        if old.changes:
            if current.is_head:
                raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
            safety.require(dict(scope["headers"]))
        call.ask = partial(self._around.successors.ask, caller)
        missing = [name for name in old.required.get(call.dialect, ()) if not call.values.get(name)]
        if missing:
            raise BadRequest(f"The argument(s) {missing} are required")
        await self._workers.run(_require_dag, call, caller)
        call.is_begun = True
        await self._application(self._rewritten(scope, old), _no_body(receive), answer.send)

    async def _form(
        self, old: OldCall | None, scope: Scope, receive: Receive, caller: Caller
    ) -> tuple[dict[str, str], dict[str, Any]]:
        if scope["method"] != "POST":
            return {}, {}
        media_type = dict(scope["headers"]).get(b"content-type", b"")
        expected: list[OldCall] = []
        if old is None or old.takes_files:
            expected = await self._workers.run(self._with_files, old, caller)
        bounds = [
            entry.operation("POST").body_limit for entry in expected if arguments.may_be_large(media_type)
        ]
        most = max(limits.most_bytes(self._settings, bound) for bound in bounds or [limits.PLAIN])
        received = limits.admit_body(scope, receive, most, limits.FRAMING_BYTES if bounds else 0)
        return await arguments.form(media_type, received, most, exchange.of(scope).closing)

    def _with_files(self, old: OldCall | None, caller: Caller) -> list[OldCall]:
        """Return the calls with files that a form may be for: where it names the call itself, each that is permitted.

        Raises `Denied` for a call that is not.
        """
        if old is not None:
            Identity.admit_unread(old.operation("POST"), caller)
            return [old]
        permitted = []
        for entry in self._known.values():
            with suppress(Denied):
                if entry.takes_files:
                    Identity.admit_unread(entry.operation("POST"), caller)
                    permitted.append(entry)
        return permitted

    @staticmethod
    def _rewritten(scope: Scope, old: OldCall) -> Scope:
        root, headers = scope.get("root_path", ""), scope["headers"]
        described = (b"content-type", b"content-length", b"transfer-encoding")
        return {
            **scope,
            "method": old.operation(scope["method"]).method,
            "path": f"{root}/api/{old.name}",
            "raw_path": f"{root}/api/{old.name}".encode(),
            "query_string": b"",
            "headers": [entry for entry in headers if entry[0] not in described],
        }

    async def _refuse(
        self, current: Exchange, fault: Exception, answer: _Answer, authorization: bytes | None
    ) -> None:
        problem = problems.of(fault, request_id=current.request_id)
        old = answer.old
        if old is not None and not current.audited and old.changes:
            operation = old.operation("GET")
            await self._around.recorder.refused(operation, current, problem.status)
        assert current.call is not None
        # What is echoed is masked, which takes a while of a long text, and workers may be what there is none of.
        status, body = await asyncio.to_thread(self._refusal, current.call, fault, problem, authorization)
        await answer.send_json(status, body, problem.headers)

    def _refusal(
        self, call: Call, fault: Exception, problem: Problem, authorization: bytes | None
    ) -> tuple[int, bytes]:
        status, told = dialects.refused(call, fault, problem, authorization)
        return status, self._around.redactor.json(json_encoding.encode(told))


def _named(place: str, door: str) -> str:
    """Return the name of a call in the path, empty if there is none."""
    named = place.removeprefix("/api").strip("/")
    if door == CLAIRVOYANT and f"{named}/".startswith(f"{_FIRST_RELEASES}/"):
        return named.removeprefix(_FIRST_RELEASES).strip("/")
    return named


def _plain(name: str) -> str:
    return name.strip().lower()


def _require_dag(call: Call, caller: Caller) -> None:
    """Raise the old error for a DAG that is not there; who may not read it is told nothing of it."""
    sent = call.values.get("dag_id")
    if not isinstance(sent, str):
        return
    dag_id = sent.strip()
    if caller.permissions.may_dag(dag_id, "GET") and not dag.is_known(dag_id):
        raise BadRequest(f"The DAG ID '{dag_id}' does not exist{missing_dag.because(dag_id, caller)}")


def _no_body(receive: Receive) -> Receive:
    """Return a `receive` whose body was read: the layers behind get none, and wait for the client to go."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


class _Answer:
    """The way out: names the operation that new clients call."""

    def __init__(self, send: Send, api_root: str, successors: Successors) -> None:
        self._send = send
        self._api_root = api_root
        self._successors = successors
        self.old: OldCall | None = None
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._deprecation()]}
        await self._send(message)

    async def send_json(self, status: int, body: bytes, further: Mapping[str, str]) -> None:
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in further.items()),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})

    def _deprecation(self) -> list[tuple[bytes, bytes]]:
        place = None if self.old is None else self._successors.place(self.old.successor)
        return deprecation(None if place is None else f"{self._api_root}{place}")
