"""Generators of clients decide what a schema may look like: the rules keep generated clients compiling."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_rest_api.web import contract

DOCUMENT = contract.load("openapi.yaml")
SCHEMAS = DOCUMENT["components"]["schemas"]
UNIONS = ("oneOf", "anyOf")
# Types of the languages that clients are generated in; generators rename models that have such a name.
TAKEN = {
    *(
        "Any",
        "Array",
        "Boolean",
        "Byte",
        "Character",
        "Configuration",
        "Date",
        "Double",
        "Error",
        "Exception",
        "File",
    ),
    *(
        "Float",
        "Function",
        "ImportError",
        "Integer",
        "List",
        "Long",
        "Map",
        "Number",
        "Object",
        "OSError",
        "Promise",
    ),
    *(
        "Record",
        "Request",
        "Response",
        "Set",
        "Short",
        "String",
        "Thread",
        "Type",
        "TypeError",
        "UUID",
        "ValueError",
    ),
}
SIZES = re.compile(r"total(_.*)?|size|.*_(size|count|entries|bytes|kib|mib|seconds)")
INT32 = 2**31 - 1


def schemas_in(node: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below a node with its place, as generators see it: without extensions and examples."""
    if isinstance(node, list):
        for index, entry in enumerate(node):
            yield from schemas_in(entry, f"{place}/{index}")
    elif isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            if not key.startswith("x-") and key not in ("example", "examples", "default", "enum", "required"):
                yield from schemas_in(value, f"{place}/{key}")


def crooked_unions(node: Any, document: contract.Document = DOCUMENT) -> Iterator[str]:
    """Unions that have no type in some language: of required lists, and of an array and something else."""
    for place, schema in schemas_in(node):
        for union in (schema[word] for word in UNIONS if word in schema):
            if all(set(option) <= {"required", "not"} for option in union):
                yield f"{place}: alternatives of required fields"
            if any(contract.dereference(document, option).get("type") == "array" for option in union):
                yield f"{place}: alternatives with an array"


def reached(
    document: contract.Document, node: Any, seen: set[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below a node and behind its references."""
    for place, schema in schemas_in(node):
        yield place, schema
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            seen.add(reference)
            target = contract.dereference(document, schema)
            yield from ((reference + below, found) for below, found in reached(document, target, seen))


def responses(document: contract.Document) -> list[tuple[str, Mapping[str, Any]]]:
    """Every schema of a response, once."""
    answers = [operation.definition["responses"] for operation in contract.operations(document)]
    return list(reached(document, answers, set()))


def undecidable_unions(found: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Unions of which a client cannot tell by a field what it has received."""
    for place, schema in found:
        if any(word in schema for word in UNIONS) and "discriminator" not in schema:
            yield place


def narrow_integers(found: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Integers that may be too large for the type that a generator chooses."""
    for place, schema in found:
        if schema.get("type") != "integer" or schema.get("maximum", INT32 + 1) <= INT32:
            continue
        name = place.rpartition("/")[2]
        if schema.get("format") != "int64" and (SIZES.fullmatch(name) or "format" not in schema):
            yield place


def pascal(name: str) -> str:
    """Turn `get_dag` into `GetDag`."""
    return name.title().replace("_", "")


def colliding_names(schemas: Mapping[str, Any]) -> Iterator[str]:
    """Names of schemas that a generator renames, or that a name which it makes up is equal to."""
    spelled = Counter(name.lower() for name in schemas)
    made_up = {
        f"{name}{pascal(field)}".lower(): name
        for name, schema in schemas.items()
        for field, definition in schema.get("properties", {}).items()
        if definition.get("items", definition).get("type") == "object"
    }
    requests = {f"{pascal(operation.operation_id)}Request" for operation in contract.operations(DOCUMENT)}
    for name in schemas:
        if name in TAKEN or spelled[name.lower()] > 1:
            yield f"{name}: taken"
        if re.match("New[A-Z]", name) or name.endswith("Test"):
            yield f"{name}: constructor or test file in Go"
        if name in requests:
            yield f"{name}: the parameters of an operation in TypeScript"
        if name.lower() in made_up and "properties" in schemas[name]:
            yield f"{name}: an inline schema of {made_up[name.lower()]}"


class TestContract:
    def test_unions_have_a_type_in_every_language(self):
        assert list(crooked_unions(DOCUMENT)) == []

    def test_a_client_can_tell_what_it_received(self):
        assert list(undecidable_unions(responses(DOCUMENT))) == []

    def test_integers_of_responses_are_wide_enough(self):
        assert list(narrow_integers(responses(DOCUMENT))) == []

    def test_names_do_not_collide(self):
        assert list(colliding_names(SCHEMAS)) == []

    def test_there_is_one_scheme_of_each_kind(self):
        kinds = Counter(
            (scheme["type"], scheme.get("scheme"))
            for scheme in DOCUMENT["components"]["securitySchemes"].values()
        )
        assert set(kinds.values()) == {1}, kinds


class TestTheChecksThemselves:
    """A check that cannot fail proves nothing: each is shown a fault."""

    @pytest.mark.parametrize(
        "union",
        [
            [{"required": ["a"]}, {"required": ["b"]}],
            [{"type": "string"}, {"type": "array", "items": {}}],
            [{"type": "string"}, {"$ref": "#/components/schemas/Names"}],
        ],
    )
    @pytest.mark.parametrize("word", UNIONS)
    def test_a_crooked_union_is_seen(self, word, union):
        document = {"components": {"schemas": {"Names": {"type": "array"}}}}
        assert len(list(crooked_unions({"properties": {"x": {word: union}}}, document))) == 1
        assert list(crooked_unions({"x-constraints": {word: union}})) == []

    def test_an_undecidable_union_is_seen(self):
        assert list(
            undecidable_unions([("a", {"anyOf": []}), ("b", {"oneOf": [], "discriminator": {}})])
        ) == ["a"]
        assert any(
            "#/components/schemas/Problem/properties/title" in place for place, _ in responses(DOCUMENT)
        )

    def test_a_narrow_integer_is_seen(self):
        narrow = {"type": "integer", "format": "int32"}
        places = {
            "x/size": narrow,
            "x/line": narrow,
            "x/y": {"type": "integer"},
            "x/z": {**narrow, "maximum": 9},
        }
        assert list(narrow_integers(list(places.items()))) == ["x/size", "x/y"]

    @pytest.mark.parametrize(
        ("names", "count"),
        [
            (["ImportError"], 1),
            (["NewTask"], 1),
            (["TaskTest"], 1),
            (["GetDagRequest"], 1),
            (["Dag", "DAG"], 2),
        ],
    )
    def test_a_colliding_name_is_seen(self, names, count):
        assert len(list(colliding_names({name: {} for name in names}))) == count

    def test_a_name_of_an_inline_schema_is_seen(self):
        fields = {"properties": {"body_of": {"type": "object"}}}
        assert len(list(colliding_names({"Review": fields, "ReviewBodyOf": fields}))) == 1
