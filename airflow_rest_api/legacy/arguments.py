"""Arguments: where the old dispatchers looked for what was sent: in the query first, then in the form.

The first value of a name counts, and an empty one in the query is none; unknown names are passed over, and a body that
is no form is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive

from airflow_rest_api.legacy.catalogue import OldCall
from airflow_rest_api.legacy.failures import BadRequest
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.web.arguments import MAX_PAIRS
from airflow_rest_api.web.multipart import FormParser, PartHead
from airflow_rest_api.web.sinks import File, Sink, Text

URLENCODED, MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"
NAME = "api"
_EBAY = "ebay"


def pairs(raw: bytes) -> dict[str, str]:
    """Return the first value of each name in a query or a form; raises `BadRequest` for too many."""
    try:
        found = parse_qsl(
            raw.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MAX_PAIRS
        )
    except ValueError:
        raise BadRequest("There are too many arguments.") from None
    return _first(found)


def may_be_large(media_type: bytes) -> bool:
    """Tell whether a form of this media type may hold files."""
    return _plain(media_type) == MULTIPART


async def form(
    media_type: bytes, receive: Receive, most: int, closing: ExitStack
) -> tuple[dict[str, str], dict[str, Upload]]:
    """Read a form of either kind: its texts and its files, which are closed with ``closing``.

    Raises `Malformed` for one that cannot be read, and `BodyTooLarge`.
    """
    if _plain(media_type) == MULTIPART:
        return await _multipart(media_type, receive, most, closing)
    if _plain(media_type) != URLENCODED:
        return {}, {}
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return pairs(bytes(body)), {}


def _plain(media_type: bytes) -> bytes:
    return media_type.partition(b";")[0].strip().lower()


async def _multipart(
    media_type: bytes, receive: Receive, most: int, closing: ExitStack
) -> tuple[dict[str, str], dict[str, Upload]]:
    sinks: list[tuple[PartHead, Sink]] = []

    def open_sink(head: PartHead) -> Sink:
        if len(sinks) >= MAX_PAIRS:
            raise BadRequest("There are too many arguments.")
        # As browsers do for a file that was not chosen, a file may have an empty name: then it is none.
        sink = Text(head.name) if not head.file_name else File(head.file_name, most, closing)
        sinks.append((head, sink))
        return sink

    parser, more, is_empty = FormParser(media_type, open_sink), True, True
    while more:
        message = await receive()
        is_empty = is_empty and not message.get("body")
        await parser.feed(message.get("body", b""))
        more = message.get("more_body", False)
    if not is_empty:
        parser.finish()
    texts = _first(
        (head.name, sink.value()) for head, sink in sinks if head.file_name is None and isinstance(sink, Text)
    )
    files = _first((head.name, sink.value()) for head, sink in sinks if isinstance(sink, File))
    return texts, files


def _first(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for name, value in found:
        first.setdefault(name, value)
    return first


def values(
    old: OldCall,
    dialect: str,
    query: Mapping[str, str],
    texts: Mapping[str, str],
    files: Mapping[str, Upload],
) -> dict[str, Any]:
    """Return the arguments of a call that were sent, by the contract's names.

    A flag is on as soon as it is there, whatever its value; eBay's plugin passed over one without a value in the query.
    Raises `BadRequest` for a NUL, which no database takes.
    """
    found: dict[str, Any] = {}
    for entry in old.arguments:
        name = entry.name
        if entry.is_file:
            value: Any = files.get(name)
        elif entry.is_flag:
            bare = name in query and (dialect != _EBAY or query[name] != "")
            value = bare or name in texts or None
        else:
            value = query.get(name) or texts.get(name) or None
        if isinstance(value, str) and "\0" in value:
            raise BadRequest(f"The argument '{name}' holds a NUL character.")
        if value is not None:
            found[name] = value
    return found
