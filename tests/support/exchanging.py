"""Exports and imports, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.support.clients import Client

NOUNS = ("variables", "connections", "pools")
FORMATS = ("json", "yaml", "env")
REVEALED = {"include_secrets": True, "reason": "moving house"}


def export(
    rest: Client, noun: str, form: str = "json", *, role: str = "admin", **query: Any
) -> httpx.Response:
    """Export all objects of a noun."""
    return rest.get(f"/exports/{noun}", params={"format": form, **query}, role=role)


def send(
    rest: Client,
    noun: str,
    content: Any,
    name: str = "file.json",
    *,
    role: str = "admin",
    headers: dict[str, str] | None = None,
    **query: Any,
) -> httpx.Response:
    """Import a file; a content that is neither text nor bytes is written as JSON."""
    data = content if isinstance(content, bytes | str) else json.dumps(content)
    form = {"file": (name, data)}
    return rest.post(f"/imports/{noun}", files=form, params=query, role=role, headers=headers)


def actions(answer: httpx.Response) -> dict[str, str]:
    """What became of each entry of an import."""
    assert answer.status_code == 200, answer.text
    return {item["name"]: item["action"] for item in answer.json()["items"]}


def kind(answer: httpx.Response) -> tuple[int, str]:
    """The status and the type of a refusal."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]
