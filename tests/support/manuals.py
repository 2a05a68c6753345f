"""The calls that a manual of an old plugin shows, and the answers that it prints below them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support import curl

ANSWER = (
    "response:",
    "sample response",
    "**sample**",
    "response error",
    "you will get the following response",
)


@dataclass(frozen=True)
class Shown:
    """A call that a manual shows, and the answer below it; None where it shows none."""

    call: curl.Curl
    answer: Any = None


def calls(text: str) -> Iterator[Shown]:
    """Every command line of curl, and every address below `Examples:`, in the order of the manual."""
    lines = [line.strip() for line in text.splitlines()]
    below_examples = False
    for number, line in enumerate(lines):
        if line.startswith("curl ") and "://" in line:
            yield Shown(curl.read(line), _answer(lines[number + 1 :]))
        elif line.startswith("http") and below_examples:
            yield Shown(curl.Curl("GET", line), _answer(lines[number + 1 :]))
        if line and not line.startswith(("curl ", "http")):
            below_examples = line == "Examples:"


def answers(text: str) -> list[Any]:
    """Every JSON object that stands on lines of its own."""
    lines = [line.strip() for line in text.splitlines()]
    return [_json(lines[number:]) for number, line in enumerate(lines) if line.startswith("{")]


def _answer(lines: list[str]) -> Any:
    """The JSON that begins on the line below one that announces an answer, if that follows at once."""
    told = [line for line in lines if line]
    if len(told) > 1 and told[0].lower().startswith(ANSWER) and told[1].startswith("{"):
        return _json(told[1:])
    return None


def _json(lines: list[str]) -> Any:
    return json.JSONDecoder().raw_decode("\n".join(lines))[0]
