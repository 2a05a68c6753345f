"""Schemas: OpenAPI 3.0's dialect compiled by jsonschema-rs, and faults told in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timezone
from typing import Any
from uuid import UUID

import jsonschema_rs
from dateutil import parser

_ANNOTATIONS = frozenset(
    {"example", "examples", "description", "title", "default", "deprecated", "externalDocs"}
)
# A further schema that values have to fit, for what generators of clients cannot express.
_CONSTRAINTS = "x-constraints"
_COMPONENT = "#/components/schemas/"
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "definitions"})
_UNFIT = "The value does not fit the schema."
_DAY = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt _]00:00(?::00(?:\.0+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
# What a caller may have meant as a word of a list, and what is no secret.
_NAMES = re.compile(r"(?=.{1,60}\Z)[A-Za-z_]\w*(, ?[A-Za-z_]\w*)*", re.ASCII)
# PostgreSQL's texts cannot hold it, and its driver says so by an error that is none of the database's.
NO_NUL = "Must not contain the character NUL."


def clean(name: str) -> str:
    """Return what a caller named something, fit for a sentence: short, and on one line."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name[:100]
    )


def to_json_schema(node: Any) -> Any:
    """Turn an OpenAPI 3.0 schema into JSON Schema draft 4: `nullable` becomes a type, annotations go.

    `x-constraints` becomes one more entry of `allOf`.
    """
    if isinstance(node, list):
        return [to_json_schema(entry) for entry in node]
    if not isinstance(node, Mapping):
        return node
    schema = {
        key: _converted(key, value)
        for key, value in node.items()
        if key not in _ANNOTATIONS and key != _CONSTRAINTS
    }
    if _CONSTRAINTS in node:
        schema["allOf"] = [*schema.get("allOf", []), to_json_schema(node[_CONSTRAINTS])]
    if schema.pop("nullable", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = list(dict.fromkeys([*schema["enum"], None]))
    return schema


def _converted(key: str, value: Any) -> Any:
    if key in _MAPS_OF_SCHEMAS:
        return {name: to_json_schema(schema) for name, schema in value.items()}
    return value if key in ("enum", "required") else to_json_schema(value)


def instant(text: str) -> datetime:
    """Read a date-time of ISO 8601 with a zone (`Z`, `+02:00` or `+0200`).

    Raises ValueError for anything else, and OverflowError for what is no time in UTC.
    """
    if len(text) < 16 or text[10:11] not in ("T", "t", " "):
        raise ValueError("not a date-time")
    moment: datetime = parser.isoparse(text.replace(" ", "T").upper())
    if moment.tzinfo is None:
        raise ValueError("a date-time without a zone")
    # At the ends of the calendar a zone leads out of it, where neither Python nor a database can follow.
    moment.astimezone(timezone.utc)
    return moment


def day(text: str) -> date:
    """Read a date, or a date-time at midnight with or without a zone, as `/api/v2` does; raises ValueError."""
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError("not a date")
    return date.fromisoformat(found.group(1))


def _reads(read: Any) -> Any:
    def check(text: str) -> bool:
        try:
            read(text)
        except (ValueError, OverflowError):
            return False
        return True

    return check


def _uuid(text: str) -> UUID:
    value = UUID(text)
    if len(text) != 36:
        raise ValueError("not the 36 characters of a UUID")
    return value


# jsonschema-rs knows more than these, but is stricter than generated clients on `date-time`: the official
# Airflow client writes the zone of a query parameter without its colon.
FORMATS = {"date-time": _reads(instant), "date": _reads(day), "uuid": _reads(_uuid)}


class BrokenSchema(Exception):
    """A schema of the contract cannot be compiled."""


class Schema:
    """A compiled schema of a contract."""

    def __init__(
        self, schema: Mapping[str, Any], components: Mapping[str, Any], *, formats: bool = True
    ) -> None:
        """Compile ``schema``; ``components`` (converted by `json_components`) is what its references point into."""
        converted = to_json_schema(schema)
        # A compiled schema keeps all that it is given: every component would make it megabytes, and there are hundreds.
        root = {"allOf": [converted], "components": {"schemas": _reached(converted, components)}}
        try:
            self._validator = jsonschema_rs.Draft4Validator(
                root, validate_formats=formats, formats=FORMATS if formats else {}
            )
        except ValueError as fault:
            raise BrokenSchema(f"a schema of the contract is broken: {fault}") from fault

    def is_valid(self, value: Any) -> bool:
        """Tell whether ``value`` fits."""
        return self._validator.is_valid(value)

    def faults(self, value: Any, *, most: int = 20) -> list[tuple[str, str]]:
        """Return what does not fit as (JSON pointer, sentence), ``most`` of them at the most."""
        found: list[tuple[str, str]] = []
        for error in _meant(self._validator.iter_errors(value)):
            if len(found) == most:
                break
            pointer = "".join(f"/{_escaped(clean(str(part)))}" for part in error.instance_path)
            found.append(_described(error, pointer))
        return found


def _meant(errors: Iterable[jsonschema_rs.ValidationError]) -> Iterator[jsonschema_rs.ValidationError]:
    """Yield the errors; where one branch of a `oneOf` is meant, yield those of the branch."""
    for error in errors:
        branch = _meant_branch(error)
        if branch is None:
            yield error
        else:
            yield from _meant(branch)


def _meant_branch(error: jsonschema_rs.ValidationError) -> list[jsonschema_rs.ValidationError] | None:
    """Return the errors of the only branch of a `oneOf` that has the value's type and discriminator."""
    if error.kind.name != "oneOf":
        return None
    depth = len(error.instance_path)
    fitting = [
        branch
        for branch in error.kind.as_dict()["context"]
        if not any(_excludes(inner, depth) for inner in branch)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _excludes(error: jsonschema_rs.ValidationError, depth: int) -> bool:
    """Return whether an error in a branch shows that the value means another one."""
    below = len(error.instance_path) - depth
    if error.kind.name == "enum":
        return below == 1 and len(error.kind.as_dict()["options"]) == 1
    return error.kind.name == "type" and below == 0


def json_components(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas of a bundled contract in the form that `Schema` wants for its references."""
    schemas = document.get("components", {}).get("schemas", {})
    return {"schemas": {name: to_json_schema(schema) for name, schema in schemas.items()}}


def _reached(schema: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the components that a schema refers to, directly or through others."""
    schemas = components.get("schemas", {})
    reached: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        for name in _named(waiting.pop()):
            if name in schemas and name not in reached:
                reached[name] = schemas[name]
                waiting.append(schemas[name])
    return reached


def _named(node: Any) -> Iterator[str]:
    """Yield the names of the components to which a schema refers by itself."""
    if isinstance(node, list):
        for entry in node:
            yield from _named(entry)
    elif isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(_COMPONENT):
            name = reference.removeprefix(_COMPONENT).partition("/")[0]
            yield name.replace("~1", "/").replace("~0", "~")
        for entry in node.values():
            yield from _named(entry)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _described(error: jsonschema_rs.ValidationError, pointer: str) -> tuple[str, str]:
    """Describe an error without the value, which may be a secret or very long; name a wrong word of a list."""
    kind = error.kind
    facts = kind.as_dict()
    name = kind.name
    if name == "additionalProperties":
        unknown = facts["unexpected"]
        return f"{pointer}/{_escaped(clean(str(unknown[0])))}", "Unknown field."
    if name == "required":
        return f"{pointer}/{_escaped(str(facts['property']))}", "The field is required."
    if name == "enum" and error.instance_path and isinstance(error.instance_path[-1], int):
        return pointer, _not_one_of(error.instance, facts["options"])
    sentence = _SENTENCES.get(name)
    return pointer, sentence(facts) if sentence else _UNFIT


def _types(facts: Mapping[str, Any]) -> str:
    types = sorted(facts["types"], key=lambda name: (name == "null", name))
    return f"Must be of type {' or '.join(types)}."


def _not_one_of(value: Any, options: list[Any]) -> str:
    names = value if isinstance(value, str) and _NAMES.fullmatch(value) else ""
    begin = f"'{names}' is not one of" if names else "Must be one of"
    hint = " Send each of them by itself." if "," in names else ""
    return f"{begin} {', '.join(map(_word, options))}.{hint}"


def _word(option: Any) -> str:
    return "null" if option is None else str(option)


def _alternatives(facts: Mapping[str, Any]) -> str:
    """Name the fields of which an object needs one, where that is what the alternatives require."""
    kinds = [error.kind for errors in facts["context"] for error in errors]
    if not kinds or any(kind.name != "required" for kind in kinds):
        return _UNFIT
    fields = dict.fromkeys(str(kind.as_dict()["property"]) for kind in kinds)
    return f"Needs one of the fields {', '.join(fields)}."


def _excluded(facts: Mapping[str, Any]) -> str:
    fields = facts["schema"].get("required")
    if fields:
        return f"Must not have the fields {' and '.join(fields)} together."
    return "The operation does not support it. Leave it out."


_FORMAT_SENTENCES = {"date": "Must be a date, for example 2026-01-31, or a date-time at midnight."}
_SENTENCES: dict[str, Any] = {
    "type": _types,
    "enum": lambda facts: f"Must be one of {', '.join(_word(option) for option in facts['options'])}.",
    "format": lambda facts: _FORMAT_SENTENCES.get(facts["format"], f"Must be a {facts['format']}."),
    "pattern": lambda facts: f"Must match {facts['pattern']}.",
    "minLength": lambda facts: f"Must have at least {facts['limit']} characters.",
    "maxLength": lambda facts: f"Must have at most {facts['limit']} characters.",
    "minimum": lambda facts: f"Must be at least {facts['limit']}.",
    "maximum": lambda facts: f"Must be at most {facts['limit']}.",
    "exclusiveMinimum": lambda facts: f"Must be more than {facts['limit']}.",
    "exclusiveMaximum": lambda facts: f"Must be less than {facts['limit']}.",
    "minItems": lambda facts: f"Must have at least {facts['limit']} entries.",
    "maxItems": lambda facts: f"Must have at most {facts['limit']} entries.",
    "minProperties": lambda facts: f"Must have at least {facts['limit']} fields.",
    "maxProperties": lambda facts: f"Must have at most {facts['limit']} fields.",
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "not": _excluded,
    "uniqueItems": lambda facts: "Must not have an entry twice.",
}
