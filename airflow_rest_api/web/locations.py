"""Locations: the header `Location` of an answer that speaks of a new object, as the contract says where that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from airflow_rest_api.services.states import Stated
from airflow_rest_api.web import contract
from airflow_rest_api.web.contract import Operation

# The contract's word for it: a path of the contract, with fields of the answer as `{names}`.
EXTENSION = "x-location"
HEADER = "Location"
_NAME = re.compile(r"\{(\w+)\}")


def of(operation: Operation, root: str, answer: Any) -> str | None:
    """Return where the object of an answer is, below the ``root`` that this contract is served at.

    None where the operation tells no place, and where a field that names the object is null, as in a dry run.
    """
    template = operation.definition.get(EXTENSION)
    if template is None:
        return None
    content = answer.answer if isinstance(answer, Stated) else answer
    if not isinstance(content, Mapping) or any(content.get(name) is None for name in _NAME.findall(template)):
        return None
    return root + _NAME.sub(lambda match: quote(str(content[match[1]]), safe=""), template)


def unknown(document: contract.Document, operation: Operation) -> Iterator[str]:
    """Yield what an operation's `x-location` names and the answer does not have."""
    names = _NAME.findall(operation.definition.get(EXTENSION, ""))
    fields = _fields(document, operation) if names else {}
    yield from (f"the field '{name}'" for name in names if name not in fields)


def _fields(document: contract.Document, operation: Operation) -> Mapping[str, Any]:
    response = contract.dereference(document, operation.definition["responses"][str(operation.status)])
    schema = response.get("content", {}).get(contract.JSON, {}).get("schema", {})
    fields: Mapping[str, Any] = contract.dereference(document, schema).get("properties", {})
    return fields
