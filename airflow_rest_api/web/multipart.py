"""Multipart: the parts of a form (RFC 7578), read from the wire piece by piece.

The syntax is python-multipart's. What it leaves open is decided here: that a form has to come to its end, and that
nothing has two meanings. How many parts there are is bounded by the fields that there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from airflow_rest_api.services import errors
from airflow_rest_api.web.schemas import clean
from airflow_rest_api.web.sinks import File, Sink, decoded

# Of each part.
MAX_HEADERS, MAX_HEADER_BYTES = 8, 4096
# RFC 2046 section 5.1.1.
MAX_BOUNDARY_BYTES = 70

_PARAMETER = re.compile(
    r';[ \t]*([a-z]+\*?)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))[ \t]*', re.IGNORECASE
)
_DISPOSITION = re.compile(r"form-data[ \t]*", re.IGNORECASE)
# Browsers send a backslash of a file's name as it is, others put one before quotes and backslashes.
_ESCAPED = re.compile(r'\\(["\\])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")


class PartHead(NamedTuple):
    """What the headers of a part say; ``file_name`` is None where there is none, and a text may be empty."""

    name: str
    file_name: str | None


@dataclass
class _Part:
    """The part that is being read."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: bytes = b""
    content: bytes = b""
    sink: Sink | None = None


class FormParser:
    """Reads one form; ``open_sink`` tells where the content of a part goes, and raises what it does not take."""

    def __init__(self, content_type: bytes, open_sink: Callable[[PartHead], Sink]) -> None:
        """Begin with the boundary that the Content-Type names; raises `Malformed`."""
        self._open_sink = open_sink
        self._part = _Part()
        self._files: list[File] = []
        self._is_complete = False
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header,
                "on_headers_finished": self._head,
                "on_part_data": self._content,
                "on_end": self._end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    async def feed(self, data: bytes) -> None:
        """Read what came in, and store it; raises `Malformed`, `BodyTooLarge` and `InsufficientStorage`."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BrokenForm from None
        files, self._files = self._files, []
        for file in files:
            await file.store()

    def finish(self) -> None:
        """Raise `FormIncomplete` unless the last boundary was there: the parser is content with any end."""
        if not self._is_complete:
            raise FormIncomplete

    def _begin(self) -> None:
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.content += data[start:end]

    def _header(self) -> None:
        name = self._part.name.lower()
        if name in self._part.headers:
            raise errors.Malformed(f"A part of the form has the header {name.decode('latin-1')} twice.")
        self._part.headers[name] = self._part.content
        self._part.name = self._part.content = b""

    def _head(self) -> None:
        headers = self._part.headers
        if headers.get(b"content-transfer-encoding", b"").strip().lower() not in _ENCODINGS:
            raise errors.Malformed(
                "A part of the form has a Content-Transfer-Encoding; send its bytes as they are."
            )
        self._part.sink = self._open_sink(_disposition(headers.get(b"content-disposition", b"")))

    def _content(self, data: bytes, start: int, end: int) -> None:
        sink = self._part.sink
        if sink is None:
            raise BrokenForm
        sink.take(data[start:end])
        if isinstance(sink, File) and sink not in self._files:
            self._files.append(sink)

    def _end(self) -> None:
        self._is_complete = True


class BrokenForm(errors.Malformed):
    """The body is not made as a form is."""

    title = "The form cannot be read"

    def __init__(self) -> None:
        super().__init__(
            "The body is no form with the boundary that the Content-Type names, or the headers of a part are"
            f" broken, more than {MAX_HEADERS}, or longer than {MAX_HEADER_BYTES} bytes."
        )


class FormIncomplete(errors.Malformed):
    """The form ends before its last boundary; a part of a file must not be taken for the whole."""

    title = "The form is incomplete"

    def __init__(self) -> None:
        super().__init__("The form ended before its last boundary: a part of it is missing.")


def _boundary(content_type: bytes) -> bytes:
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise errors.Malformed(
            f"The Content-Type of a form names its boundary, which has 1 to {MAX_BOUNDARY_BYTES} characters."
        )
    return boundary


def _disposition(raw: bytes) -> PartHead:
    """Read a Content-Disposition; raises `Malformed` for one that is missing, or could be read in two ways."""
    text = decoded(raw, "The Content-Disposition of a part of the form")
    found = _DISPOSITION.match(text)
    place = found.end() if found else -1
    parameters: dict[str, str] = {}
    while found and place < len(text):
        found = _PARAMETER.match(text, place)
        if found is None or found[1].lower() in parameters or _CONTROL.search(text):
            raise errors.Malformed(f"The Content-Disposition of a part cannot be read: {clean(text)}")
        parameters[found[1].lower()] = found[3] if found[2] is None else _ESCAPED.sub(r"\1", found[2])
        place = found.end()
    if not parameters.get("name"):
        raise errors.Malformed("Every part of a form needs a Content-Disposition: form-data with a name.")
    if "filename*" in parameters and "filename" not in parameters:
        raise errors.Malformed(
            "A form tells the name of a file as filename, not as filename* (RFC 7578 section 4.2)."
        )
    return PartHead(parameters["name"], parameters.get("filename"))
