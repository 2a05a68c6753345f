"""Answers: a handler's plain data as the response that the contract promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import flask
import orjson
from werkzeug.datastructures import MIMEAccept
from werkzeug.wsgi import ClosingIterator

from airflow_rest_api.security.redaction import Redactor
from airflow_rest_api.services import errors, json_encoding
from airflow_rest_api.services.files.downloads import Download
from airflow_rest_api.services.sources import Source
from airflow_rest_api.services.states import Noted, Stated
from airflow_rest_api.web import contract, negotiation, preconditions
from airflow_rest_api.web.following import Followed
from airflow_rest_api.web.preconditions import Expected, Hash
from airflow_rest_api.web.schemas import Schema

log = logging.getLogger(__name__)

OCTETS = "application/octet-stream"


class AnswerWriter:
    """Writes the successful answers of one operation."""

    def __init__(
        self,
        document: contract.Document,
        operation: contract.Operation,
        components: Mapping[str, Any],
        redactor: Redactor,
        *,
        keyed_hash: Hash,
        on_invalid: Callable[[], None],
        validate: bool,
    ) -> None:
        """Compile the schema of the answer, unless ``validate`` is off; entity tags are made with ``keyed_hash``.

        ``on_invalid`` is called for each response that breaks the contract.
        """
        self._hash = keyed_hash
        self._on_invalid = on_invalid
        self._operation = operation
        self._redactor = redactor
        self._status = operation.status
        self._media_types = operation.media_types
        self._schema = _schema(document, operation, components) if validate else None

    @property
    def only(self) -> str | None:
        """The media type of an operation that has just one, which leaves the caller no choice."""
        return self._media_types[0] if len(self._media_types) == 1 else None

    def negotiate(self, accepted: MIMEAccept, followed: str | None = None) -> str | None:
        """Return the media type to answer with: the contract's one, or the caller's choice among several.

        Where the answer is to be ``followed``, its media type is the only one. Raises `NotAcceptable` where there is a
        choice and the caller takes none.
        """
        possible = self._media_types if followed is None else (followed,)
        if not possible:
            return None
        if len(self._media_types) == 1 or not accepted:
            return possible[0]
        chosen = negotiation.best_match(accepted, possible)
        if chosen is None:
            raise errors.NotAcceptable(f"Only {' and '.join(possible)} can be produced.")
        return chosen

    def expected(self, if_match: str | None, if_none_match: str | None) -> Expected:
        """Return what the headers of a change expect of the object."""
        return preconditions.expected(self._hash, if_match, if_none_match)

    def write(self, result: Any, media_type: str | None, if_none_match: str | None = None) -> flask.Response:
        """Make the response of what a handler returned; 304 for a reader who has it already.

        A result that cannot be written as JSON gets the success status nevertheless, with the fields that can be
        written: the change is committed, and an error would make the client repeat it.
        """
        try:
            return self._written(result, media_type, if_none_match)
        except Exception:
            if media_type != contract.JSON:
                raise
            self._note_invalid("cannot be written", exc_info=True)
            return flask.Response(self._writable(result), self._status, content_type=contract.JSON)

    def _written(self, result: Any, media_type: str | None, if_none_match: str | None) -> flask.Response:
        if isinstance(result, Noted):
            response = self._written(result.answer, media_type, if_none_match)
            response.headers.update(result.notes)
            return response
        columns, content = _parted(result)
        if media_type is None:
            return flask.Response(status=self._status)
        if media_type == contract.JSON:
            return self._tagged(self._json(content), columns, contract.JSON, if_none_match)
        if isinstance(content, Download):
            return self._download(content, columns, media_type, if_none_match)
        content_type = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
        if isinstance(content, str):
            body = self._redactor.text(content).encode()
            return self._tagged(body, columns, content_type, if_none_match)
        return flask.Response(self._parts(content), self._status, content_type=content_type)

    def _tagged(
        self, body: bytes, columns: tuple[Any, ...] | None, content_type: str, if_none_match: str | None
    ) -> flask.Response:
        """Make a response with an entity tag: of everything that is read, and of objects that have a state."""
        is_read = self._operation.method == "GET" and self._operation.read_only
        if not is_read and columns is None:
            return flask.Response(body, self._status, content_type=content_type)
        tag = preconditions.entity_tag(self._hash, columns, body)
        if is_read and preconditions.is_known(if_none_match, tag):
            return flask.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        return flask.Response(body, self._status, {"ETag": tag}, content_type=content_type)

    def follow(self, source: Source, media_type: str, admit: Callable[[], None]) -> flask.Response:
        """Make a response of a source that is followed to its end; `bridge.py` does."""
        followed = Followed(source, self._redactor.part, admit)
        headers = {
            # Airflow's server, and proxies, would keep lines back: to compress them, or to send many at once.
            "Content-Encoding": "identity",
            "X-Accel-Buffering": "no",
        }
        return flask.Response(
            followed, self._status, headers, content_type=media_type, direct_passthrough=True
        )

    def _download(
        self,
        content: Download,
        columns: tuple[Any, ...] | None,
        media_type: str,
        if_none_match: str | None,
    ) -> flask.Response:
        """Make a response of a file, to the byte as it is: `bridge.py` sends it part by part."""
        tag = preconditions.entity_tag(self._hash, columns, content.version.encode())
        if preconditions.is_known(if_none_match, tag):
            content.close()
            return flask.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        headers = {
            "ETag": tag,
            "Content-Length": str(content.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(content.name, safe='')}",
        }
        return flask.Response(
            content, self._status, headers, content_type=media_type, direct_passthrough=True
        )

    def _json(self, result: Any) -> bytes:
        raw = self._redactor.json(json_encoding.encode(result))
        if self._schema is not None:
            self._check(raw, self._schema)
        return raw

    def _writable(self, result: Any) -> bytes:
        """Return the fields of a result that can be written, an empty object if none can."""
        try:
            return self._redactor.json(json_encoding.encode_fields(_parted(result)[1]))
        except Exception:
            log.exception("The response of %s has no field that can be written", self._operation.operation_id)
            return b"{}"

    def _check(self, raw: bytes, schema: Schema) -> None:
        """Log and count a body that breaks the contract. What is sent is checked: dates and ids are texts by now."""
        # Neither lone surrogates nor deep nesting can be read for the check.
        with suppress(ValueError):
            sent = orjson.loads(raw)
            if not schema.is_valid(sent):
                self._note_invalid(f"breaks the contract: {schema.faults(sent)}")

    def _note_invalid(self, reason: str, *, exc_info: bool = False) -> None:
        log.error("The response of %s %s", self._operation.operation_id, reason, exc_info=exc_info)
        self._on_invalid()

    def _parts(self, result: bytes | Iterable[bytes]) -> bytes | Iterator[bytes]:
        if isinstance(result, bytes):
            return self._redactor.part(result)
        parts = iter(result)
        # Services cut between lines, within which every secret is whole.
        return ClosingIterator(map(self._redactor.part, parts), getattr(parts, "close", None))


def _parted(result: Any) -> tuple[tuple[Any, ...] | None, Any]:
    """Return the columns that an object's state consists of, if it has one, and what is to be written."""
    return (result.columns, result.answer) if isinstance(result, Stated) else (None, result)


def _schema(
    document: contract.Document, operation: contract.Operation, components: Mapping[str, Any]
) -> Schema | None:
    response = contract.dereference(document, operation.definition["responses"][str(operation.status)])
    media = response.get("content", {}).get(contract.JSON)
    return Schema(media["schema"], components, formats=False) if media else None
