"""One request and its answer, as far as the layers share facts about them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_rest_api.legacy.calls import Call
    from airflow_rest_api.legacy.pending import Pending
    from airflow_rest_api.services.caller import Caller
    from airflow_rest_api.web.paths import Found
    from airflow_rest_api.web.waiting import Watched

Scope = MutableMapping[str, Any]
_KEY = "airflow_rest_api.exchange"
# An id has to differ, not to be unguessable; asking the kernel for randomness costs a switch of threads each time.
_RANDOM = random.Random()  # noqa: S311
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass
class Exchange:
    """What the layers found out: filled from the edge inwards, each field by one layer.

    ``instance`` is the path that was called, ``client`` the address that called; of a HEAD, which all layers behind
    the edge take for a GET, ``is_head`` tells. ``permitted`` and ``audited`` are
    set by the gate: the caller may do this, and the outcome is in the event log (or could not be written).
    ``identify_again`` checks the credentials anew, of an answer that lasts.
    ``closing`` closes the files of the body, which belong to the handler as soon as it runs.
    """

    request_id: str
    instance: str
    client: str = ""
    is_head: bool = False
    begin: float = field(default_factory=perf_counter, repr=False)
    found: Found | None = None
    operation_id: str | None = None
    permitted: bool = False
    audited: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    caller: Caller | None = None
    refusal: Exception | None = None
    watched: Watched | None = None
    # How many seconds the answer may wait for what is watched.
    patience: float = 0.0
    # The run that the handler's result names.
    created_run: str | None = None
    # An old call, and what makes its answer when it has waited.
    call: Call | None = None
    pending: Pending | None = None
    identify_again: Callable[[], Caller] | None = field(default=None, repr=False)
    closing: ExitStack = field(default_factory=ExitStack, repr=False)


def new_id() -> str:
    """Return an id for a request that brings none."""
    return f"{_RANDOM.getrandbits(128):032x}"


def begin(scope: Scope, headers: Mapping[bytes, bytes]) -> Exchange:
    """Start the exchange of a request, under the caller's `X-Request-Id` where that is a short plain word."""
    wished = headers.get(b"x-request-id", b"")
    request_id = wished.decode() if _REQUEST_ID.fullmatch(wished) else new_id()
    client = (scope.get("client") or ("",))[0]
    exchange = Exchange(request_id, scope.get("path", ""), client, scope.get("method") == "HEAD")
    scope[_KEY] = exchange
    return exchange


def of(scope: Mapping[str, Any]) -> Exchange:
    """Return the exchange of a request."""
    exchange: Exchange = scope[_KEY]
    return exchange
