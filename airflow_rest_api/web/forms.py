"""Forms: what a `multipart/form-data` request carries, read field by field and checked against the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from starlette.types import Receive

from airflow_rest_api.services import errors
from airflow_rest_api.services.files.uploads import Upload
from airflow_rest_api.web import contract
from airflow_rest_api.web.arguments import coerced, malformed
from airflow_rest_api.web.multipart import FormParser, PartHead
from airflow_rest_api.web.schemas import NO_NUL, Schema, clean
from airflow_rest_api.web.sinks import File, Sink, Text

_TYPES = ("string", "integer", "number", "boolean")


class FormReader:
    """Reads the form of one operation."""

    def __init__(
        self,
        document: contract.Document,
        definition: Mapping[str, Any],
        components: Mapping[str, Any],
        most: Callable[[str], int],
    ) -> None:
        """Compile the request body ``definition``; the file of a field has at most ``most(field)`` bytes."""
        schema, self._fields = _fields(document, definition)
        self._required = definition.get("required", False)
        self._most = {name: most(name) for name, entry in self._fields.items() if is_file(entry)}
        # What a file holds is no matter of a schema.
        properties = {name: {} if is_file(entry) else entry for name, entry in self._fields.items()}
        self._schema = Schema({**schema, "properties": properties}, components)

    async def read(self, content_type: bytes, receive: Receive, closing: ExitStack) -> dict[str, Any]:
        """Return the fields by name, ``{}`` for an absent optional body; files are closed with ``closing``.

        An empty text counts as absent, and so does a file without content and name: browsers send both for what was
        left alone. Raises `Malformed`, `BodyTooLarge` and `InsufficientStorage`.
        """
        message = await receive()
        if not message.get("body") and not message.get("more_body", False):
            return self._absent()
        form = _Form(self._fields, self._most, closing)
        parser = FormParser(content_type, form.open)
        while True:
            await parser.feed(message.get("body", b""))
            if not message.get("more_body", False):
                break
            message = await receive()
        parser.finish()
        return self._checked(form.values())

    def _absent(self) -> dict[str, Any]:
        if self._required:
            raise errors.Malformed("The request needs a body.")
        return {}

    def _checked(self, values: dict[str, Any]) -> dict[str, Any]:
        texts = {name: "" if isinstance(value, Upload) else value for name, value in values.items()}
        faults = [
            {"pointer": pointer, "detail": sentence} for pointer, sentence in self._schema.faults(texts)
        ]
        if faults:
            raise malformed(faults)
        return values


class _Form:
    """The fields of one form as they come in."""

    def __init__(
        self, fields: Mapping[str, Mapping[str, Any]], most: Mapping[str, int], closing: ExitStack
    ) -> None:
        self._fields = fields
        self._most = most
        self._closing = closing
        self._sinks: dict[str, Sink] = {}

    def open(self, head: PartHead) -> Sink:
        """Return what takes the content of a part; raises `Malformed` where there is no such field."""
        definition = self._fields.get(head.name)
        if definition is None:
            raise _wrong(clean(head.name), "Unknown field.")
        if head.name in self._sinks:
            raise _wrong(head.name, "Was sent more than once.")
        self._sinks[head.name] = self._sink(head, wants_file=is_file(definition))
        return self._sinks[head.name]

    def _sink(self, head: PartHead, *, wants_file: bool) -> Sink:
        if head.file_name and wants_file:
            return File(head.file_name, self._most[head.name], self._closing)
        if head.file_name:
            raise _wrong(head.name, "Must be sent as a text, without the name of a file.")
        return _Nothing(head.name) if wants_file or head.file_name is not None else Text(head.name)

    def values(self) -> dict[str, Any]:
        """Return what is not absent, texts as the types that the contract names."""
        values = {name: sink.value() for name, sink in self._sinks.items()}
        return {name: self._typed(name, value) for name, value in values.items() if value != ""}

    def _typed(self, name: str, value: Any) -> Any:
        if isinstance(value, Upload):
            return value
        if "\0" in value:
            raise _wrong(name, NO_NUL)
        return coerced(value, self._fields[name]["type"])


class _Nothing(Text):
    """A part that looks like the one which browsers send for a file that was not chosen, and is taken if it is."""

    def take(self, data: bytes) -> None:
        """Raise `Malformed`: there is a content, of something that is no file."""
        raise _wrong(self.name, "Must be sent as a file, with its name.")


def is_file(definition: Mapping[str, Any]) -> bool:
    """Tell whether a field of a form is a file."""
    return definition.get("format") == "binary"


def unsupported(document: contract.Document, definition: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a form's definition is not read."""
    schema, fields = _fields(document, definition)
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        yield "a form that is no object of known fields"
    yield from (f"the field '{name}'" for name, entry in fields.items() if entry.get("type") not in _TYPES)


def _fields(
    document: contract.Document, definition: Mapping[str, Any]
) -> tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]:
    schema = contract.dereference(document, definition["content"][contract.FORM]["schema"])
    fields = {
        name: contract.dereference(document, entry) for name, entry in schema.get("properties", {}).items()
    }
    return schema, fields


def _wrong(name: str, detail: str) -> errors.Malformed:
    return malformed([{"pointer": f"/{name}", "detail": detail}])
