"""Calls that both services know, as tables: each is made to both, on objects of its own, and the answers compared.

A table (`tests/support/shared_calls_of/<noun>.py: CALLS`) is a story: its calls are made in order. Names contain
`{side}`, which is `ours` or `them` when a call is made and is taken out of the answer again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support import comparison
from tests.support.clients import Client

OURS, THEIRS = "ours", "them"
SIDE = "{side}"


@dataclass(frozen=True)
class SharedCall:
    """One call of a table; `note` says what it shows. Query, body and headers may contain `{side}`, too.

    `role` is a user of the tests, None for no credential. `refused_as` maps a status of Airflow's to ours, beyond
    422, which is 400.
    """

    method: str
    path: str
    params: Any = None
    json: Any = None
    role: str | None = "admin"
    headers: Mapping[str, str] | None = None
    refused_as: Mapping[int, int] | None = None
    note: str = ""

    def made(self, client: Client, side: str) -> httpx.Response:
        """The answer of one service, asked about the objects of this side."""
        options = {"params": self.params, "json": self.json, "headers": self.headers}
        given = {name: _told(value, side) for name, value in options.items() if value is not None}
        return client.request(self.method, _told(self.path, side), role=self.role, **given)


def assert_alike(
    calls: Iterable[SharedCall],
    rest: Client,
    v2: Client,
    *,
    normalise: Callable[[Any], Any] = comparison.identity,
) -> None:
    """Make the calls in order to both services and assert that their answers are alike (`comparison`)."""
    for call in calls:
        theirs, ours = call.made(v2, THEIRS), call.made(rest, OURS)
        try:
            _assert_same(call, ours, theirs, normalise)
        except AssertionError as fault:
            raise AssertionError(f"{call.note or call.method}: {fault}") from None


def _assert_same(
    call: SharedCall, ours: httpx.Response, theirs: httpx.Response, normalise: Callable[[Any], Any]
) -> None:
    if theirs.is_success and not theirs.content:
        # Airflow calls what is nothing JSON, too.
        assert (ours.status_code, ours.content) == (theirs.status_code, b""), ours.text
        return
    if not (theirs.is_success and ours.is_success and comparison.is_json(theirs)):
        comparison.assert_same(ours, theirs, refused_as=call.refused_as)
        return
    assert ours.status_code == theirs.status_code, ours.text
    mine, yours = (normalise(_neutral(answer.json())) for answer in (ours, theirs))
    found = list(comparison.differences(mine, yours))
    assert not found, comparison.report(found, ours)


def _told(value: Any, side: str) -> Any:
    return json.loads(json.dumps(value).replace(SIDE, side))


def _neutral(value: Any) -> Any:
    text = json.dumps(value)
    for side in (OURS, THEIRS):
        text = text.replace(side, SIDE)
    return json.loads(text)
