"""Answers: a handler's plain data as the response that the contract promises."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flask
import orjson
from werkzeug.datastructures import MIMEAccept
from werkzeug.wsgi import ClosingIterator

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors
from airflow_rest_api.web import contract
from airflow_rest_api.web.schemas import Schema

log = logging.getLogger(__name__)

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


class AnswerBreaksContract(Exception):
    """A handler returned what its operation does not promise: a fault of this service."""


class AnswerWriter:
    """Writes the successful answers of one operation."""

    def __init__(
        self,
        document: contract.Document,
        operation: contract.Operation,
        components: Mapping[str, Any],
        redactor: Redactor,
        *,
        validate: bool,
    ) -> None:
        """Compile the schema of the answer, unless ``validate`` is off."""
        self._operation = operation
        self._redactor = redactor
        self._status = operation.status
        self._media_types = operation.media_types
        self._schema = _schema(document, operation, components) if validate else None

    @property
    def only(self) -> str | None:
        """The media type of an operation that has just one, which leaves the caller no choice."""
        return self._media_types[0] if len(self._media_types) == 1 else None

    def negotiate(self, accepted: MIMEAccept) -> str | None:
        """Return the media type to answer with: the contract's one, or the caller's choice among several.

        Raises `NotAcceptable` where there are several and the caller takes none of them.
        """
        if not self._media_types:
            return None
        if len(self._media_types) == 1 or not accepted:
            return self._media_types[0]
        chosen = accepted.best_match(self._media_types)
        if chosen is None:
            raise errors.NotAcceptable(f"Only {' and '.join(self._media_types)} can be produced.")
        return chosen

    def write(self, result: Any, media_type: str | None) -> flask.Response:
        """Make the response of what a handler returned."""
        if media_type is None:
            return flask.Response(status=self._status)
        if media_type == contract.JSON:
            return flask.Response(self._json(result), self._status, content_type=contract.JSON)
        content_type = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
        return flask.Response(self._parts(result), self._status, content_type=content_type)

    def _json(self, result: Any) -> bytes:
        raw = self._redactor.json(orjson.dumps(result, option=_OPTIONS))
        if self._schema is not None:
            # What is sent is checked, not what was meant: dates and ids are texts by now.
            sent = orjson.loads(raw)
            if not self._schema.is_valid(sent):
                log.error("%s answers %s", self._operation.operation_id, self._schema.faults(sent))
                raise AnswerBreaksContract(self._operation.operation_id)
        return raw

    def _parts(self, result: str | bytes | Iterable[bytes]) -> str | bytes | Iterator[bytes]:
        if isinstance(result, str):
            return self._redactor.text(result)
        if isinstance(result, bytes):
            return self._redactor.part(result)
        parts = iter(result)
        # Services cut between lines, within which every secret is whole.
        return ClosingIterator(map(self._redactor.part, parts), getattr(parts, "close", None))


def _schema(
    document: contract.Document, operation: contract.Operation, components: Mapping[str, Any]
) -> Schema | None:
    response = contract.dereference(document, operation.definition["responses"][str(operation.status)])
    media = response.get("content", {}).get(contract.JSON)
    return Schema(media["schema"], components, formats=False) if media else None
