"""What the tests of bulk changes share: their bodies, and their answers without the words of what went wrong."""

from __future__ import annotations

import json
from typing import Any

import httpx


def create(*entities: Any, **options: Any) -> dict[str, Any]:
    """A body with one creation."""
    return {"actions": [{"action": "create", "entities": list(entities), **options}]}


def update(*entities: Any, **options: Any) -> dict[str, Any]:
    """A body with one update."""
    return {"actions": [{"action": "update", "entities": list(entities), **options}]}


def delete(*entities: Any, **options: Any) -> dict[str, Any]:
    """A body with one deletion."""
    return {"actions": [{"action": "delete", "entities": list(entities), **options}]}


def statuses(answer: dict[str, Any]) -> dict[str, Any]:
    """Of each kind of action, what was done and the statuses of what was not."""
    return {
        action: result and (result["success"], [error["status_code"] for error in result["errors"]])
        for action, result in answer.items()
    }


def told(content: Any) -> Any:
    """An answer whose bulk results, if it has any, are without their sentences and in no order of names."""
    if not (isinstance(content, dict) and content.keys() == {"create", "update", "delete"}):
        return content
    return {action: result and (sorted(result[0]), result[1]) for action, result in statuses(content).items()}


def without_sentences(answer: httpx.Response) -> httpx.Response:
    """The same response, without the sentences of its errors: they are our own."""
    if answer.is_success:
        content = answer.json()
        for result in content.values():
            for error in (result or {}).get("errors", []):
                error["error"] = "a sentence"
        answer._content = json.dumps(content).encode()
    return answer
