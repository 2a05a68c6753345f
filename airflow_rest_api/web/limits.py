"""Limits: how much a request may carry, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope

from airflow_rest_api.services import errors
from airflow_rest_api.settings import Settings
from airflow_rest_api.web import contract, problems
from airflow_rest_api.web.contract import Operation

# So long may a body take, and of a large one each further `PACE_BYTES`.
BODY_SECONDS = 30
PACE_BYTES = 1024 * 1024
# What the parts of a form may take beside the file.
FRAMING_BYTES = 64 * 1024
# What bounds a body that is no file.
PLAIN = "max_body_kib"
# The settings that an operation's `x-body-limit` may name, and how many bytes one of each is.
SETTINGS = {
    "max_body_kib": 1024,
    "max_dag_file_kib": 1024,
    "max_archive_kib": 1024,
    "max_upload_mib": 1024 * 1024,
}
# Path and query; a list filter takes some hundred ids. Servers bound the whole head, some of them generously.
MAX_ADDRESS_BYTES = 16 * 1024
_MOST_DIGITS = 18


def admit_address(scope: Scope) -> None:
    """Raise `AddressTooLong` for an address that nobody writes who means well."""
    if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_ADDRESS_BYTES:
        raise AddressTooLong


class BodyLimits:
    """How much a request may carry: what the setting says that its operation names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def admit(self, operation: Operation, scope: Scope, receive: Receive) -> Receive:
        """Return a `receive` that keeps the limit.

        Authentication comes first: a head that announces too large a body is rejected when the body is asked for.
        """
        framing = FRAMING_BYTES if operation.body_type == contract.FORM else 0
        try:
            return admit_body(scope, receive, most_bytes(self._settings, operation.body_limit), framing)
        except (problems.Refused, errors.Refusal) as fault:
            return _rejecting(fault)


def admit_body(scope: Scope, receive: Receive, most: int, framing: int) -> Receive:
    """Return a `receive` that takes a body of at most so many bytes; raises `BodyTooLarge` on the announced length."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedEncoding
    if b"transfer-encoding" in headers:
        # Of the wire, and no matter of the layers behind: they would look for chunks.
        scope["headers"] = [entry for entry in scope["headers"] if entry[0] != b"transfer-encoding"]
        return _Paced(receive, most, framing)
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit():
        raise errors.Malformed("The Content-Length is not a number.")
    # Python refuses to read a number of thousands of digits.
    if len(announced) > _MOST_DIGITS or int(announced) > most + framing:
        raise BodyTooLarge(most)
    return receive if announced == b"0" else _Paced(receive, most, framing)


def _rejecting(fault: Exception) -> Receive:
    async def reject() -> Message:
        raise fault

    return reject


def most_bytes(settings: Settings, limit: str | Mapping[str, str]) -> int:
    """Return the number of bytes that an operation's `body_limit` allows; of several files the largest counts."""
    names = [limit] if isinstance(limit, str) else limit.values()
    return max(int(getattr(settings, name)) * SETTINGS[name] for name in names)


def most_bytes_of_file(settings: Settings, limit: str | Mapping[str, str], field: str) -> int:
    """Return the number of bytes that a file in a field of a form may have."""
    return most_bytes(settings, limit if isinstance(limit, str) else limit[field])


def unknown_settings(limit: str | Mapping[str, str]) -> list[str]:
    """Return the names in an operation's `body_limit` that are not settings for bodies."""
    names = [limit] if isinstance(limit, str) else limit.values()
    return [name for name in names if name not in SETTINGS]


class _Paced:
    """A `receive` that counts the bytes and does not wait for a slow sender without end."""

    def __init__(self, receive: Receive, most: int, framing: int) -> None:
        self._receive = receive
        self._left = most + framing
        self._most = most
        self._complete = False
        self._deadline: float | None = None
        self._due = PACE_BYTES

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # waits for the client to go, which has no deadline
        now = asyncio.get_running_loop().time()
        self._deadline = self._deadline or now + BODY_SECONDS
        try:
            message = await asyncio.wait_for(self._receive(), max(self._deadline - now, 0.001))
        except asyncio.TimeoutError:
            raise BodyTooSlow from None
        if message["type"] == "http.disconnect":
            raise BodyIncomplete
        self._count(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    def _count(self, received: int) -> None:
        self._left -= received
        self._due -= received
        if self._left < 0:
            raise BodyTooLarge(self._most)
        if self._due <= 0:
            self._due, self._deadline = PACE_BYTES, None


class AddressTooLong(problems.Refused):
    """Path and query are too long."""

    def __init__(self) -> None:
        super().__init__(414, f"Path and query are longer than {MAX_ADDRESS_BYTES} bytes.")


class BodyTooLarge(problems.Refused):
    """The body is larger than the operation takes."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"The body is larger than the {most} bytes that are taken here.")


class BodyTooSlow(problems.Refused):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, f"The body did not arrive within {BODY_SECONDS} seconds.")


class BodyIncomplete(problems.Refused):
    """The client went before it had sent the whole body; a part of one must not be taken for what was meant."""

    def __init__(self) -> None:
        super().__init__(400, "The body ended before it was complete.")


class UnsupportedEncoding(problems.Refused):
    """The body is compressed."""

    def __init__(self) -> None:
        super().__init__(415, "Compressed bodies are not taken; send the body without Content-Encoding.")
