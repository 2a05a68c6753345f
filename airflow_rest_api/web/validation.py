"""Validation: Connexion's places for validators, filled with readers compiled at start."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from connexion.datastructures import MediaTypeDict
from starlette.types import Message, Receive, Scope

from airflow_rest_api.web import contract, exchange
from airflow_rest_api.web.arguments import ArgumentReader
from airflow_rest_api.web.bodies import BodyReader
from airflow_rest_api.web.forms import FormReader

Header = tuple[bytes, bytes]
# Media types whose syntax is JSON (RFC 6839 section 3.1), such as `application/merge-patch+json`.
_JSON_SUFFIX = re.compile(rb"application/[^/+\s]+(\+[^/+\s]+)*\+json")


def operation_id(scope: Mapping[str, Any]) -> str:
    """Return the operation to which Connexion routed a request."""
    name: str = scope["extensions"]["connexion_routing"]["operation_id"]
    return name


def validator_map(
    arguments: Mapping[str, ArgumentReader],
    bodies: Mapping[str, BodyReader],
    forms: Mapping[str, FormReader],
    admit: Callable[[exchange.Exchange], Awaitable[None]],
) -> dict[str, Any]:
    """Return the validators of an API; what they read they leave in the request's exchange.

    Forms are read of callers whom ``admit`` lets pass; it raises otherwise.
    """

    class ParameterValidator:
        """Reads the parameters; Connexion makes one for each request."""

        def __init__(self, parameters: Any, uri_parser: Any, **_: Any) -> None:
            """Take what Connexion passes; everything needed was compiled before."""

        def validate(self, scope: Scope) -> None:
            name = operation_id(scope)
            current = exchange.of(scope)
            current.operation_id = name
            current.arguments = arguments[name].read(scope)
            scope["headers"] = _described(scope["headers"])

    class BodyValidator:
        """Reads a JSON body; Connexion makes one for each request."""

        def __init__(self, **_: Any) -> None:
            """Take what Connexion passes; everything needed was compiled before."""

        async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
            parts, more = [], True
            while more:
                message = await receive()
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            exchange.of(scope).body = bodies[operation_id(scope)].read(b"".join(parts))
            return _consumed(receive), scope

    class FormValidator:
        """Reads a form; Connexion makes one for each request."""

        def __init__(self, **_: Any) -> None:
            """Take what Connexion passes; everything needed was compiled before."""

        async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
            current = exchange.of(scope)
            content_type = dict(scope["headers"]).get(b"content-type", b"")
            form = forms[operation_id(scope)]
            await admit(current)
            current.body = await form.read(content_type, receive, current.closing)
            return _consumed(receive), scope

    readers = MediaTypeDict({contract.JSON: BodyValidator, contract.FORM: FormValidator})
    return {"parameter": ParameterValidator, "body": readers}


def passing_map(media_types: Iterable[str]) -> dict[str, Any]:
    """Return the validators of an API of which requests are read before they come to Connexion."""

    class Passing:
        """Takes what Connexion passes, and leaves it."""

        def __init__(self, *_: Any, **__: Any) -> None:
            """Take what Connexion passes."""

        def validate(self, scope: Scope) -> None:
            """Leave the arguments as they were read."""

        async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
            return receive, scope

    return {"parameter": Passing, "body": MediaTypeDict(dict.fromkeys(media_types, Passing))}


def _described(headers: Iterable[Header]) -> list[Header]:
    """Return the headers with the media type as the contract writes it, and without that of an empty body.

    Connexion finds no validator for `Application/JSON` and skips the validation. It rejects other media types.
    """
    described = [(name, _media_type(value) if name == b"content-type" else value) for name, value in headers]
    if (b"content-length", b"0") in described:
        return [(name, value) for name, value in described if name != b"content-type"]
    return described


def _media_type(value: bytes) -> bytes:
    media_type, separator, parameters = value.partition(b";")
    plain = media_type.strip().lower()
    return (contract.JSON.encode() if _JSON_SUFFIX.fullmatch(plain) else plain) + separator + parameters


def _consumed(receive: Receive) -> Receive:
    """Return a `receive` whose body was read: Flask gets none, and later calls wait for the client to go."""
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def next_message() -> Message:
        message = next(messages, None)
        return message if message is not None else await receive()

    return next_message
