"""Comparing two answers, with differences told by their place in the JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

SHOWN = 30


def identity(value: Any) -> Any:
    """Compare as it is."""
    return value


def assert_same(
    ours: httpx.Response,
    theirs: httpx.Response,
    *,
    refused_as: Mapping[int, int] | None = None,
    normalise: Callable[[Any], Any] = identity,
) -> None:
    """Assert that our answer has Airflow's status, mapped by `refused_as`, and for a success its content.

    JSON is compared after `normalise` (which takes out ids and times that must differ), order of lists included;
    other media types by their text. A refusal of ours is always a problem.
    """
    expected = {422: 400, **(refused_as or {})}.get(theirs.status_code, theirs.status_code)
    told = f"{ours.request.method} {ours.request.url}\nours   {_brief(ours)}\ntheirs {_brief(theirs)}"
    assert ours.status_code == expected, f"status {ours.status_code} in place of {expected}\n{told}"
    if not theirs.is_success:
        assert ours.headers["content-type"] == "application/problem+json", told
        assert ours.json()["status"] == ours.status_code, told
        return
    if not is_json(theirs):
        assert ours.text == theirs.text, told
        return
    assert is_json(ours), f"not JSON\n{told}"
    found = list(differences(normalise(ours.json()), normalise(theirs.json())))
    assert not found, report(found, ours)


def is_json(response: httpx.Response) -> bool:
    """Whether the answer says that it is JSON."""
    return response.headers.get("content-type", "").split(";")[0].strip() == "application/json"


def report(found: list[str], ours: httpx.Response) -> str:
    """The differences, at most `SHOWN` of them, below the call that made them."""
    more = [f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    head = f"{ours.request.method} {ours.request.url}: {len(found)} differences (ours | theirs)"
    return "\n".join([head, *found[:SHOWN], *more])


def differences(ours: Any, theirs: Any, path: str = "$") -> Iterator[str]:
    """Walk two JSON values and name each place where they differ: `$.dags[0].tags: ours | theirs`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from _differing_objects(ours, theirs, path)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path}: {len(ours)} entries | {len(theirs)} entries"
        for index, (left, right) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(left, right, f"{path}[{index}]")
    elif type(ours) is not type(theirs) or ours != theirs:
        yield f"{path}: {ours!r} | {theirs!r}"


def _differing_objects(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> Iterator[str]:
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        place = f"{path}.{name}"
        if name not in ours:
            yield f"{place}: missing | {theirs[name]!r}"
        elif name not in theirs:
            yield f"{place}: {ours[name]!r} | missing"
        else:
            yield from differences(ours[name], theirs[name], place)


def _brief(response: httpx.Response) -> str:
    return f"{response.status_code} {response.text[:600]}"
