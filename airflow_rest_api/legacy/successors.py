"""Successors: the operations of version 1 that do what old calls did, and ask for the same permissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_rest_api.security import access
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.web.contract import Operation

# RFC 9745: since when a call is not meant for new clients, in seconds since 1970.
_DEPRECATED = b"@1767225600"


def deprecation(address: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers of an old call's answer, and ``address`` where the operation is described that follows it."""
    link = [] if address is None else [(b"link", f'<{address}>; rel="successor-version"'.encode())]
    return [(b"deprecation", _DEPRECATED), *link]


class Successors:
    """The operations of version 1 by operationId."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._known = {operation.operation_id: operation for operation in operations}

    def ask(self, caller: Caller, operation_id: str, arguments: Mapping[str, Any], body: Any) -> None:
        """Raise `Denied` unless the caller may call an operation with these arguments."""
        access.require(self._known[operation_id].access or (), caller, arguments, body)

    def place(self, operation_id: str) -> str:
        """Return where the page describes an operation, below the address of the service."""
        return f"/v1/ui/#/{self._known[operation_id].tag}/{operation_id}"
