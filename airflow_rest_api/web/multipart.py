"""Multipart: the parts of a form (RFC 7578), read from the wire piece by piece, files to the disk.

The syntax is python-multipart's. What it leaves open is decided here: how long a text may be, that a form has to
come to its end, and that nothing has two meanings. How many parts there are is bounded by the fields that there are.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, NamedTuple, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from airflow_rest_api.services import errors
from airflow_rest_api.services.uploads import Upload
from airflow_rest_api.web.limits import BodyTooLarge
from airflow_rest_api.web.schemas import clean

MAX_TEXT_BYTES = 64 * 1024
# Of each part.
MAX_HEADERS, MAX_HEADER_BYTES = 8, 4096
# RFC 2046 section 5.1.1.
MAX_BOUNDARY_BYTES = 70
# What of a file stays in memory before it goes to the disk.
IN_MEMORY_BYTES = 1024 * 1024

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


class Text:
    """A part that is a text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._raw = bytearray()

    def take(self, data: bytes) -> None:
        """Take what came in; raises `Malformed` for too much."""
        self._raw += data
        if len(self._raw) > MAX_TEXT_BYTES:
            raise errors.Malformed(f"The field '/{self.name}' has more than {MAX_TEXT_BYTES} bytes.")

    def value(self) -> str:
        """Return the text; raises `Malformed` for one that is not UTF-8."""
        return decoded(bytes(self._raw), f"The field '/{self.name}'")


class File:
    """A part that is a file of at most ``most`` bytes: in memory while it is small, then on the disk."""

    def __init__(self, name: str, most: int, closing: ExitStack) -> None:
        """Open a file that is closed with ``closing``."""
        self._name = name
        self._most = most
        self._size = 0
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._file = cast("BinaryIO", closing.enter_context(SpooledTemporaryFile(IN_MEMORY_BYTES)))  # noqa: SIM115

    def take(self, data: bytes) -> None:
        """Take what came in; it is written by `store`. Raises `BodyTooLarge`."""
        self._size += len(data)
        if self._size > self._most:
            raise BodyTooLarge(self._most)
        self._pending.append(data)

    async def store(self) -> None:
        """Write what was taken, off the event loop where that touches the disk; raises `InsufficientStorage`."""
        if self._size <= IN_MEMORY_BYTES:
            self._write()
        else:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        pending, self._pending = self._pending, []
        try:
            for data in pending:
                self._hash.update(data)
                self._file.write(data)
        except OSError as fault:
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoomForUpload from fault
            raise

    def value(self) -> Upload:
        """Return the file, of which everything was stored."""
        return Upload(self._name, self._size, self._hash.hexdigest(), self._file)


class NoRoomForUpload(errors.InsufficientStorage):
    """The disk on which files wait for the end of their request is full."""

    title = "No room for the upload"

    def __init__(self) -> None:
        super().__init__(
            "There is no room for the file where the service keeps what comes in; nothing was changed."
        )


Sink = Text | File


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


def decoded(raw: bytes, what: str) -> str:
    """Return a text; raises `Malformed` that says ``what`` is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.Malformed(f"{what} is not UTF-8.") from None


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
