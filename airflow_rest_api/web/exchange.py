"""One request and its answer, as far as the layers share facts about them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_rest_api.services.caller import Caller

Scope = MutableMapping[str, Any]
_KEY = "airflow_rest_api.exchange"
# An id has to differ, not to be unguessable; asking the kernel for randomness costs a switch of threads each time.
_RANDOM = random.Random()  # noqa: S311
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass
class Exchange:
    """What the layers found out: filled from the edge inwards, each field by one layer.

    ``instance`` is the path that was called.
    """

    request_id: str
    instance: str
    operation_id: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    caller: Caller | None = None
    refusal: Exception | None = None
    bearer: str | None = field(default=None, repr=False)


def new_id() -> str:
    """Return an id for a request that brings none."""
    return f"{_RANDOM.getrandbits(128):032x}"


def begin(scope: Scope, headers: Mapping[bytes, bytes]) -> Exchange:
    """Start the exchange of a request, under the caller's `X-Request-Id` where that is a short plain word."""
    wished = headers.get(b"x-request-id", b"")
    request_id = wished.decode() if _REQUEST_ID.fullmatch(wished) else new_id()
    exchange = Exchange(request_id, scope.get("path", ""))
    scope[_KEY] = exchange
    return exchange


def of(scope: Mapping[str, Any]) -> Exchange:
    """Return the exchange of a request."""
    exchange: Exchange = scope[_KEY]
    return exchange
