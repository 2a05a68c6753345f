"""Arguments: the parameters of a request, parsed once, checked against the contract, and typed.

Connexion's own validator builds a schema validator for each parameter of each request and joins repeated
values with commas; this one is compiled at start and takes a comma for a comma.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from airflow_rest_api.services import errors
from airflow_rest_api.web import contract, preconditions
from airflow_rest_api.web.schemas import NO_NUL, Schema, clean, day, instant

Fault = dict[str, str]
MAX_PAIRS = 1000
# Python's own int() and float() take spaces, underscores and the digits of every script.
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
# The spellings that Airflow's `/api/v2` accepts, in any case.
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class _Parameter:
    """One parameter of an operation, ready to be read."""

    name: str
    place: str
    required: bool
    many: bool
    type: str
    format: str | None
    default: Any
    schema: Schema
    hint: str

    @property
    def argument(self) -> str:
        """The name under which the handler gets the value."""
        return self.name.lower().replace("-", "_")

    def read(self, texts: Sequence[str]) -> tuple[Any, list[Fault]]:
        """Return the typed value of what was sent, or what is wrong with it."""
        if not self.many and len(texts) > 1:
            return None, [self._fault("Was sent more than once.")]
        if any("\0" in text for text in texts):
            return None, [self._fault(NO_NUL)]
        values = [coerced(text, self.type) for text in texts]
        value = values if self.many else values[0]
        faults = self.schema.faults(value)
        # With a pointer, a fault is about one of many values.
        found = [self._fault(f"{sentence}{self.hint if pointer else ''}") for pointer, sentence in faults]
        if found:
            return None, found
        typed = [_typed(entry, self.format) for entry in values]
        return (typed if self.many else typed[0]), []

    def missing(self) -> tuple[Any, list[Fault]]:
        """Return the value of a parameter that was not sent."""
        if self.required:
            return None, [self._fault("The parameter is required.")]
        return (list(self.default) if isinstance(self.default, list) else self.default), []

    def _fault(self, sentence: str) -> Fault:
        return {"in": self.place, "parameter": self.name, "detail": sentence}


def coerced(text: str, kind: str) -> Any:
    """Read a text as the type that the contract names; what cannot be read stays a text, for the schema to refuse."""
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _typed(value: Any, form: str | None) -> Any:
    if form == "date-time":
        return instant(value)
    return day(value) if form == "date" else value


class ArgumentReader:
    """Reads the parameters of one operation from a request."""

    def __init__(
        self, document: contract.Document, operation: contract.Operation, components: Mapping[str, Any]
    ) -> None:
        """Compile the parameters of ``operation``."""
        self.takes_body = "requestBody" in operation.definition
        listed = list(contract.parameters(document, operation))
        implied = preconditions.implied(operation.method, [entry["name"] for entry in listed])
        known = [_compiled(entry, components) for entry in (*listed, *implied)]
        self._path = [entry for entry in known if entry.place == "path"]
        self._query = {entry.name: entry for entry in known if entry.place == "query"}
        self._headers = [entry for entry in known if entry.place == "header"]

    @property
    def names(self) -> list[str]:
        """The arguments that `read` returns, always all of them."""
        return [entry.argument for entry in (*self._path, *self._query.values(), *self._headers)]

    def read(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Return every argument of the request by name; raises `Malformed` that names each fault."""
        arguments: dict[str, Any] = {}
        faults: list[Fault] = []
        self._read_path(scope["path_params"], arguments, faults)
        self._read_query(scope["query_string"], arguments, faults)
        if self._headers:
            self._read_headers(Headers(scope=dict(scope)), arguments, faults)
        if faults:
            raise malformed(faults)
        return arguments

    def _read_path(self, texts: Mapping[str, Any], arguments: dict[str, Any], faults: list[Fault]) -> None:
        for entry in self._path:
            value, found = entry.read([str(texts[entry.name])])
            arguments[entry.argument] = value
            faults += found

    def _read_query(self, raw: bytes, arguments: dict[str, Any], faults: list[Fault]) -> None:
        sent = _pairs(raw)
        faults += [
            {"in": "query", "parameter": clean(name), "detail": "Unknown parameter."}
            for name in sent
            if name not in self._query
        ]
        for name, entry in self._query.items():
            value, found = entry.read(sent[name]) if name in sent else entry.missing()
            arguments[entry.argument] = value
            faults += found

    def _read_headers(self, headers: Headers, arguments: dict[str, Any], faults: list[Fault]) -> None:
        for entry in self._headers:
            texts = headers.getlist(entry.name)
            value, found = entry.read(texts) if texts else entry.missing()
            arguments[entry.argument] = value
            faults += found


def _compiled(definition: Mapping[str, Any], components: Mapping[str, Any]) -> _Parameter:
    schema = definition["schema"]
    many = schema["type"] == "array"
    single = schema["items"] if many else schema
    return _Parameter(
        name=definition["name"],
        place=definition["in"],
        required=definition.get("required", False),
        many=many,
        type=single["type"],
        format=single.get("format"),
        default=schema.get("default"),
        schema=Schema(schema, components),
        hint=_repetition(definition["name"], single.get("enum", ("A", "B"))) if many else "",
    )


def _repetition(name: str, options: Sequence[str]) -> str:
    """Return how to send several of the options, empty if there is only one."""
    if len(options) == 1:
        return ""
    return (
        f" Repeat the parameter for several values: `{'&'.join(f'{name}={value}' for value in options[:2])}`."
    )


def _pairs(raw: bytes) -> dict[str, list[str]]:
    if not raw:
        return {}
    try:
        found = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS
        )
    except ValueError:
        raise errors.Malformed("The query string is not UTF-8, or has too many parameters.") from None
    sent: dict[str, list[str]] = {}
    for name, value in found:
        sent.setdefault(name, []).append(value)
    return sent


def malformed(faults: list[Fault]) -> errors.Malformed:
    """Make the refusal of a request with these faults: its sentence tells the first, its ``errors`` all."""
    first = faults[0]
    if "pointer" in first:
        where = f"The field '{first['pointer']}'" if first["pointer"] else "The body"
        sentence = f"Unknown field '{first['pointer']}'." if first["detail"] == "Unknown field." else None
    else:
        where = f"The {first['in']} parameter '{first['parameter']}'"
        sentence = (
            f"Unknown query parameter '{first['parameter']}'." if "Unknown" in first["detail"] else None
        )
    return errors.Malformed(sentence or f"{where}: {first['detail']}", errors=faults[:100])
