"""Bodies: what a JSON request carries, read defensively and checked against the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.json_texts import BYTE_ORDER_MARK, parse
from airflow_rest_api.web.arguments import malformed
from airflow_rest_api.web.schemas import Schema


class BodyReader:
    """Reads the JSON body of one operation."""

    def __init__(self, definition: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        """Compile the request body ``definition`` of an operation."""
        self._required = definition.get("required", False)
        self._schema = Schema(definition["content"]["application/json"]["schema"], components)

    def read(self, raw: bytes) -> Any:
        """Return the parsed body, ``{}`` for an absent optional one; raises `Malformed`.

        ``null`` counts as absent where the body is optional: generated Go and Java clients send it for a body that
        the caller left out.
        """
        content = raw.removeprefix(BYTE_ORDER_MARK).strip()
        if not self._required and content in (b"", b"null"):
            return {}
        if not content:
            raise errors.Malformed("The request needs a body.")
        body = parse(raw)
        faults = [{"pointer": pointer, "detail": sentence} for pointer, sentence in self._schema.faults(body)]
        if faults:
            raise malformed(faults)
        return body
