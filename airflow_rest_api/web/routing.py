"""Routing: from an operation of the contract to its handler, and what the contract says about both.

An operation with the tag `DagRun` and the operationId `get_dag_run` is `get_dag_run` in `handlers/dag_run.py`.
What every handler would repeat is done here, once: permission, audit, status, media type, validation.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import flask
from connexion.apps.flask import FlaskOperation
from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
from connexion.resolver import Resolution, Resolver
from connexion.uri_parsing import OpenAPIURIParser
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_rest_api.legacy.pending import Pending
from airflow_rest_api.security import access
from airflow_rest_api.security.authentication import presented
from airflow_rest_api.services import errors, watching
from airflow_rest_api.services.dags import missing_dag
from airflow_rest_api.services.retries import Kept
from airflow_rest_api.services.sources import Source
from airflow_rest_api.web import (
    contract,
    exchange,
    following,
    forms,
    idempotency,
    limits,
    locations,
    preconditions,
    waiting,
)
from airflow_rest_api.web.answers import AnswerWriter
from airflow_rest_api.web.gate import Gate
from airflow_rest_api.web.idempotency import Idempotency

HANDLERS = "airflow_rest_api.handlers"
# What a handler may ask for beside the contract's parameters.
_EXTRAS = ("body", "caller", "media_type", "bearer", "client", "precondition", "call")
# Parameters that the frame itself carries out.
_OF_THE_FRAME = frozenset(
    {idempotency.ARGUMENT, preconditions.READER, preconditions.WRITER, waiting.ARGUMENT}
)


class HandlerError(Exception):
    """An operation has no handler, or one that does not take what the contract passes; one line each."""


class Arguments(Protocol):
    """What a handler is given of a request."""

    @property
    def names(self) -> list[str]:
        """The arguments, by the names of the handler's parameters."""

    @property
    def takes_body(self) -> bool:
        """Whether the body is one more."""


class Endpoint:
    """One operation, ready to be called in a worker thread."""

    def __init__(
        self,
        operation: contract.Operation,
        reader: Arguments,
        writer: AnswerWriter,
        gate: Gate,
        repetitions: Idempotency,
        resources: Mapping[str, Any],
    ) -> None:
        """Find the handler; ``resources`` are things of the application that it may ask for by name.

        Raises `HandlerError`.
        """
        self._operation = operation
        self._writer = writer
        self._gate = gate
        self._idempotency = repetitions
        self._handler = _handler(operation)
        self._extras, wanted = _extras(operation, self._handler, reader, resources)
        self._resources = {name: resources[name] for name in wanted}

    def answer(self, **_: Any) -> flask.Response:
        """Answer the present request; what Flask found in the path has been read already."""
        current = exchange.of(flask.request.environ["asgi.scope"])
        if current.operation_id != self._operation.operation_id:
            raise RuntimeError(f"Flask routed {current.operation_id} to {self._operation.operation_id}")
        # From here on, files of the body are this thread's: it goes on when the request is cancelled.
        with current.closing.pop_all():
            return self._answered(current)

    def _answered(self, current: exchange.Exchange) -> flask.Response:
        self._gate.admit(self._operation, current)
        if current.pending is not None:
            return self._continued(current, current.pending)
        key = current.arguments.get(idempotency.ARGUMENT)
        if key is None:
            return self._carry_out(current)
        claimed = self._idempotency.claim(self._operation, current, key)
        if isinstance(claimed, Kept):
            self._gate.replayed(self._operation, current, claimed.status)
            return self._replayed(claimed, current)
        return self._idempotency.carry_out(claimed, current, lambda: self._carry_out(current))

    def _carry_out(self, current: exchange.Exchange) -> flask.Response:
        followed = following.media_type(self._operation, current.arguments)
        media_type = self._writer.only or self._writer.negotiate(flask.request.accept_mimetypes, followed)
        given = {name: value for name, value in current.arguments.items() if name not in _OF_THE_FRAME}
        arguments = {**given, **self._wanted(current, media_type), **self._resources}
        with self._gate.recording(self._operation, current):
            result = self._handled(arguments, current)
            current.created_run = _run_of(result)
            if followed is not None and isinstance(result, Source):
                return self._writer.follow(
                    result, followed, partial(self._gate.admit_again, self._operation, current)
                )
            if isinstance(result, Pending):
                return self._put_off(current, result)
            current.watched = waiting.watched(self._operation, current.arguments, result)
            current.patience = current.arguments.get(waiting.ARGUMENT) or 0
            answer = self._writer.write(result, media_type, current.arguments.get(preconditions.READER))
        return self._located(answer, current, result)

    def _handled(self, arguments: Mapping[str, Any], current: exchange.Exchange) -> Any:
        try:
            return self._handler(**arguments)
        except errors.DagNotFound as refusal:
            if current.caller is None:
                raise
            raise missing_dag.explained(refusal, current.caller) from refusal

    def _put_off(self, current: exchange.Exchange, pending: Pending) -> flask.Response:
        """Let an answer wait; the response that stands in for it is never sent."""
        current.pending = pending
        current.patience += pending.seconds
        current.watched = waiting.Watched(pending.kind, pending.key, pending.terminal)
        return flask.Response(status=self._operation.status)

    def _continued(self, current: exchange.Exchange, pending: Pending) -> flask.Response:
        current.pending = current.watched = None
        result = pending.then()
        if isinstance(result, Pending):
            return self._put_off(current, result)
        return self._writer.write(result, self._writer.only)

    def _replayed(self, kept: Kept, current: exchange.Exchange) -> flask.Response:
        answer = self._idempotency.replay(kept)
        if kept.status != self._operation.status or locations.EXTENSION not in self._operation.definition:
            return answer
        return self._located(answer, current, json.loads(kept.body))

    def _located(self, answer: flask.Response, current: exchange.Exchange, result: Any) -> flask.Response:
        """Say where the object of an answer is, below the address at which this request was made."""
        base = current.found.base if current.found else ""
        root = flask.request.environ["asgi.scope"].get("root_path", "")
        place = locations.of(self._operation, f"{root}{base}", result)
        if place is not None:
            answer.headers[locations.HEADER] = place
        return answer

    def _wanted(self, current: exchange.Exchange, media_type: str | None) -> dict[str, Any]:
        headers = flask.request.environ["asgi.scope"]["headers"]
        known = {
            "body": current.body,
            "caller": current.caller,
            "media_type": media_type,
            "bearer": presented(headers, None).bearer if "bearer" in self._extras else None,
            "client": current.client,
            "call": current.call,
            "precondition": self._writer.expected(
                current.arguments.get(preconditions.WRITER), current.arguments.get(preconditions.READER)
            ),
        }
        return {name: known[name] for name in self._extras}


def _handler(operation: contract.Operation) -> Callable[..., Any]:
    place = f"{HANDLERS}.{operation.module}"
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as fault:
        raise HandlerError(
            f"the operation '{operation.operation_id}' has no handler: {fault.name} is missing"
        ) from None
    handler = getattr(module, operation.operation_id, None)
    if not callable(handler):
        raise HandlerError(f"the operation '{operation.operation_id}' has no handler in {place}")
    return handler  # type: ignore[no-any-return]


def _extras(
    operation: contract.Operation,
    handler: Callable[..., Any],
    reader: Arguments,
    resources: Mapping[str, Any],
) -> tuple[list[str], list[str]]:
    """Return which extras and resources the handler asks for, after checking that it takes the parameters."""
    signature = inspect.signature(handler)
    extras = [name for name in _EXTRAS if name in signature.parameters]
    if reader.takes_body and "body" not in extras:
        extras.append("body")
    wanted = [name for name in resources if name in signature.parameters]
    passed = [name for name in reader.names if name not in _OF_THE_FRAME]
    try:
        signature.bind(**dict.fromkeys([*passed, *extras, *wanted]))
    except TypeError as fault:
        raise HandlerError(
            f"the handler of '{operation.operation_id}' does not fit the contract: {fault}"
        ) from None
    return extras, wanted


def _run_of(result: Any) -> str | None:
    """Return the id of the run that a result is about."""
    return result.get("dag_run_id") if isinstance(result, dict) else None


class OperationResolver(Resolver):
    """Gives Connexion the endpoint of each operation."""

    def __init__(self, endpoints: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        self._endpoints = endpoints

    def resolve(self, operation: Any) -> Resolution:
        """Return what answers the operation."""
        return Resolution(self._endpoints[operation.operation_id], operation.operation_id)


class Routing(SpecMiddleware):
    """Stands in Connexion's stack where it looks for the operation: the guard has found it.

    An address is served or it is not: no redirects to another spelling, which would name the host that the client
    sent, and nothing handed on to Flask, which routes a second time and reads some addresses differently.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Take the next layer."""
        self._app = app

    def add_api(self, *_: Any, **__: Any) -> None:
        """Take what Connexion passes; the guard knows all paths."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, with what Connexion's next layers look for."""
        found = exchange.of(scope).found
        if found is None:
            raise LookupError("a request came past the guard")
        route = {"api_base_path": found.base, "operation_id": found.operation_id}
        extensions = {**scope.get("extensions", {}), ROUTING_CONTEXT: route}
        await self._app({**scope, "path_params": found.arguments, "extensions": extensions}, receive, send)


def for_connexion(document: contract.Document, *, reads_forms: bool = False) -> contract.Document:
    """Return a contract as Flask routes by it: values of the path are texts.

    For a number in a path Connexion has a converter of its own, at which long ones fail and to which a word is an
    address that does not exist; `ArgumentReader` says in one line what is wrong with either. With ``reads_forms`` the
    bodies are left out, which were read before: of each request to a body of two media types Connexion logs warnings.
    """
    components = document["components"]
    known = {name: _as_text(entry) for name, entry in components.get("parameters", {}).items()}
    return {
        **document,
        "paths": {
            path: _with_texts(item, ("requestBody",) if reads_forms else ())
            for path, item in document["paths"].items()
        },
        "components": {**components, "parameters": known},
    }


def _with_texts(item: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    """Return a path item, or an operation, of which the values of the path are texts, without some fields."""
    changed: dict[str, Any] = {}
    for name, value in item.items():
        if name in without:
            continue
        if name == "parameters":
            changed[name] = [_as_text(entry) for entry in value]
        else:
            changed[name] = _with_texts(value, without) if name in contract.METHODS else value
    return changed


def _as_text(parameter: Mapping[str, Any]) -> dict[str, Any]:
    if parameter.get("in") != "path":
        return dict(parameter)
    form = {key: value for key, value in parameter["schema"].items() if (key, value) == ("format", "path")}
    return {**parameter, "schema": {"type": "string", **form}}


class NoParsing(OpenAPIURIParser):
    """Stands where Connexion makes a parser of parameters, twice for each request: `ArgumentReader` reads them."""

    def __init__(self, *_: Any) -> None:
        """Take what Connexion passes, and leave it."""


def call_directly(application: flask.Flask) -> None:
    """Let Flask call the endpoints without Connexion's decorators, which are made anew for each request.

    They parse parameters and bodies and find out media types: `ArgumentReader`, `BodyReader` and `AnswerWriter` do.
    """
    for name, view in application.view_functions.items():
        if isinstance(view, FlaskOperation):
            application.view_functions[name] = view._fn


def _kinds(operation: contract.Operation) -> Iterator[str]:
    rule = operation.definition.get(waiting.EXTENSION, {})
    if rule and rule.get("kind") not in watching.KINDS:
        yield f"the operation '{operation.operation_id}' waits for '{rule.get('kind')}', which nobody watches"


def refuse_unasked(operation: contract.Operation, names: Iterable[str]) -> Iterator[str]:
    """Yield what of an operation's rules of access could not be asked; ``names`` are its parameters."""
    if operation.access is None and not operation.anonymous:
        yield f"the operation '{operation.operation_id}' has no x-airflow-access"
    for name in access.unknown(operation.access or (), names):
        yield f"the x-airflow-access of '{operation.operation_id}' has {name}, which is unknown"


def refuse_unsupported(document: contract.Document, operation: contract.Operation) -> Iterator[str]:
    """Yield what in the definition of an operation this frame does not carry out."""
    names = [entry["name"] for entry in contract.parameters(document, operation)]
    yield from refuse_unasked(operation, names)
    for name in locations.unknown(document, operation):
        yield f"the {locations.EXTENSION} of '{operation.operation_id}' has {name}, which the answer has not"
    if operation.audited_when is not None and operation.audited_when not in names:
        yield f"the x-audited-when of '{operation.operation_id}' names no parameter of it"
    yield from _kinds(operation)
    yield from _followed(document, operation)
    yield from _bodies(document, operation)


def _followed(document: contract.Document, operation: contract.Operation) -> Iterator[str]:
    media_type = operation.definition.get(following.EXTENSION)
    names = [entry["name"] for entry in contract.parameters(document, operation)]
    if media_type and (media_type not in operation.media_types or following.ARGUMENT not in names):
        yield f"the operation '{operation.operation_id}' cannot be followed as {media_type}"


def _bodies(document: contract.Document, operation: contract.Operation) -> Iterator[str]:
    subject = f"the operation '{operation.operation_id}'"
    for name in limits.unknown_settings(operation.body_limit):
        yield f"{subject} is limited by '{name}', which is no setting for bodies"
    body = operation.definition.get("requestBody", {})
    for media_type in body.get("content", {}):
        if media_type not in (contract.JSON, contract.FORM):
            yield f"{subject} takes {media_type}, which is not read yet"
    if len(body.get("content", {})) > 1:
        yield f"{subject} takes bodies of more than one media type"
    elif operation.body_type == contract.FORM:
        yield from (
            f"{subject} takes {what}, which is not read" for what in forms.unsupported(document, body)
        )
