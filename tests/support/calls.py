"""Calls made from the contract's own examples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from json import dumps
from typing import Any
from urllib.parse import quote

from airflow_rest_api.web import contract
from airflow_rest_api.web.contract import Document, Operation


@dataclass(frozen=True)
class Call:
    """One call of an operation: what `Client.request` takes. `label` says what is special about it.

    `json` is the body, of an operation that takes a form as well: its fields, and of one of `files` the text in it.
    `media_type` is that of the body.
    """

    operation: Operation
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    label: str = "required"
    files: tuple[str, ...] = ()
    media_type: str | None = None

    def __str__(self) -> str:
        return f"{self.operation.operation_id}-{self.label}"

    def options(self) -> dict[str, Any]:
        """The keyword arguments of a client's `request`."""
        return {"params": dict(self.params)} | self._body()

    def _body(self) -> dict[str, Any]:
        if self.json is None:
            return {}
        if self.media_type == contract.FORM:
            return {"files": form(self.json, self.files)}
        return {"data" if self.media_type == contract.URL_ENCODED else "json": self.json}


def plainest(document: Document, operation: Operation) -> Call:
    """The call with the examples of what is required, and the first example of a body."""
    given = list(contract.parameters(document, operation))
    path = operation.path
    for parameter in given:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(str(example_of(parameter)), safe="~"))
    required = [entry for entry in given if entry["in"] == "query" and entry.get("required")]
    params = {entry["name"]: example_of(entry) for entry in required}
    plain = Call(operation, path, params, files=tuple(files_of(document, operation)))
    return next(iter(_with_bodies(document, plain)), plain)


def _with_bodies(document: Document, plain: Call) -> Iterator[Call]:
    """The call with each example of a body."""
    body = contract.dereference(document, plain.operation.definition.get("requestBody", {}))
    for media_type, media in body.get("content", {}).items():
        for name, value in media_examples(document, media):
            yield replace(plain, json=value, media_type=media_type, label=name)


def replays(document: Document, operation: Operation) -> Iterator[Call]:
    """The plainest call, one more for each optional query parameter, and one for each further example of a body."""
    plain = replace(plainest(document, operation), label="required")
    yield plain
    for parameter in contract.parameters(document, operation):
        if parameter["in"] == "query" and not parameter.get("required"):
            extra = {parameter["name"]: example_of(parameter)}
            yield replace(plain, params={**plain.params, **extra}, label=parameter["name"])
    seen = {plain.label}
    for further in list(_with_bodies(document, plain))[1:]:
        # The same example of another media type.
        label = f"{further.label}-as-{further.media_type}" if further.label in seen else further.label
        seen.add(label)
        yield replace(further, label=label)


def files_of(document: Document, operation: Operation) -> Iterator[str]:
    """The fields of an operation's form that are files."""
    content = operation.definition.get("requestBody", {}).get("content", {})
    if media := content.get(contract.FORM):
        fields = contract.dereference(document, media["schema"])["properties"]
        for name, entry in fields.items():
            if contract.dereference(document, entry).get("format") == "binary":
                yield name


def form(fields: Mapping[str, Any], files: Collection[str]) -> dict[str, tuple[str | None, Any]]:
    """A form as httpx sends it with `files=`; a file is called like the last part of the field `path`."""
    name = str(fields.get("path", "example.py")).rpartition("/")[2]
    return {
        field: (name, value) if field in files else (None, value if isinstance(value, str) else dumps(value))
        for field, value in fields.items()
    }


def example_of(parameter: Mapping[str, Any]) -> Any:
    """The example of a dereferenced parameter; an optional one has it as an extension."""
    for word in ("example", "x-example"):
        if word in parameter:
            return parameter[word]
    return next(iter(parameter.get("examples", parameter.get("x-examples")).values()))["value"]


def body_examples(document: Document, operation: Operation) -> Iterator[tuple[str, Any]]:
    """The examples of an operation's request body, by name."""
    body = contract.dereference(document, operation.definition.get("requestBody", {}))
    for media_type in body.get("content", {}).values():
        yield from media_examples(document, media_type)


def media_examples(document: Document, media_type: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The examples of a media type object, by name; a form has them as an extension."""
    if "example" in media_type:
        yield "example", media_type["example"]
    for name, entry in {**media_type.get("examples", {}), **media_type.get("x-examples", {})}.items():
        yield name, contract.dereference(document, entry)["value"]


def matches(document: Document, schema: Mapping[str, Any], value: Any) -> list[str]:
    """What of a value does not fit a schema of the document; by a validator that the service does not use."""
    from openapi_schema_validator import OAS30Validator, oas30_format_checker

    root = {**schema, "components": document["components"]}
    validator = OAS30Validator(root, format_checker=oas30_format_checker)
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
