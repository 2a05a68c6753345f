"""What every operation promises in its description (`openapi/paths/*.yaml`), of version 1 and of the old calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_rest_api.web import contract
from tests.support import calls
from tests.web import small

DOCUMENT = contract.load("openapi.yaml")
OLD = contract.load("legacy.yaml")
DOCUMENTS = {"v1": DOCUMENT, "old": OLD}
ORDER = [
    *("operationId", "tags", "summary", "description", "deprecated"),
    *("x-airflow-access", "x-read-only", "x-audited-when"),
    *(
        "x-waits-for",
        "x-follows",
        "x-location",
        "x-body-limit",
        "security",
        "parameters",
        "requestBody",
        "responses",
    ),
]
# Chosen by Accept: as Airflow has them, and a log that can be followed.
TWO_MEDIA_TYPES = {"get_dag_source", "get_log", "get_component_log"}
PROPER_NOUNS = {"Airflow", "Celery", "Flower", "Kerberos", "Prometheus", "Swagger"}
RULE_KEYS = {"resource", "method", "access_entity", "id_from", "when", "switch", "power"}
RESOURCES = {"dag", "view", "pool", "variable", "connection", "power"}
# A file is bounded by the setting that `x-body-limit` names.
EXAMPLES = {"example", "examples"}
SELF_BOUNDED = {"date-time", "date", "uuid", "binary"}

DEFAULTS = {"v1": "/UnexpectedError", "old": "/LegacyError"}
ERROR_MEDIA = {"v1": "application/problem+json", "old": "application/json"}
# An old call is refused by the old checks in the old words, whatever it takes.
OLD_REFUSALS = {"400", "401", "403", "422"}


@dataclass(frozen=True)
class Contract:
    """One of the contracts, by its name among tests."""

    name: str

    @property
    def document(self) -> contract.Document:
        return DOCUMENTS[self.name]

    @property
    def is_old(self) -> bool:
        return self.name == "old"


CONTRACTS = [Contract(name) for name in DOCUMENTS]
OPERATIONS = [
    pytest.param(entry, operation, id=f"{'old-' if entry.is_old else ''}{operation.operation_id}")
    for entry in CONTRACTS
    for operation in contract.operations(entry.document)
]
every_old_call = pytest.mark.parametrize(
    "item", [pytest.param(item, id=path.lstrip("/")) for path, item in OLD["paths"].items()]
)
SUCCESSORS = contract.operations(DOCUMENT)
EBAY = {
    *("deploy_dag", "refresh_all_dags", "delete_dag", "upload_file", "dag_state", "task_instance_detail"),
    *("restart_failed_task", "kill_running_tasks", "run_task_instance", "skip_task_instance"),
}
CLAIRVOYANT = {
    *("version", "rest_api_plugin_version", "render", "variables", "connections", "pause", "unpause"),
    *("task_failed_deps", "trigger_dag", "test", "dag_state", "run", "list_tasks", "backfill", "list_dags"),
    *("task_state", "pool", "clear", "kerberos", "worker", "flower", "scheduler", "serve_logs"),
    *("deploy_dag", "refresh_dag", "refresh_all_dags"),
}
# What came as a file was never in an address: these are POST alone.
TAKE_FILES = {"deploy_dag", "upload_file"}
every_contract = pytest.mark.parametrize("told", CONTRACTS, ids=lambda entry: entry.name)
every_operation = pytest.mark.parametrize(("told", "operation"), OPERATIONS)


def parameters(told: Contract, operation: contract.Operation) -> list[dict[str, Any]]:
    return [dict(entry) for entry in contract.parameters(told.document, operation)]


def success(told: Contract, operation: contract.Operation) -> dict[str, Any]:
    return contract.dereference(told.document, operation.definition["responses"][str(operation.status)])


class TestWords:
    @every_operation
    def test_keys_stand_in_the_house_order(self, told, operation):
        assert set(operation.definition) <= set(ORDER)
        assert list(operation.definition) == [key for key in ORDER if key in operation.definition]

    @every_operation
    def test_the_summary_is_an_imperative_in_sentence_case_without_a_full_stop(self, told, operation):
        first, *others = operation.definition["summary"].split()
        assert first[0].isupper()
        assert not re.search(r"(?<!s)s$|ing$", first), f"'{first}' is no imperative"
        assert not operation.definition["summary"].endswith(".")
        assert [
            word for word in others if re.fullmatch("[A-Z][a-z]+", word) and word not in PROPER_NOUNS
        ] == []

    @every_operation
    def test_the_description_is_made_of_sentences(self, told, operation):
        description = operation.definition["description"].strip()
        assert description.endswith(".")
        assert description.rstrip(".") != operation.definition["summary"]

    @every_operation
    def test_there_is_one_declared_tag(self, told, operation):
        assert len(operation.definition["tags"]) == 1
        assert operation.tag in {tag["name"] for tag in told.document["tags"]}

    @every_operation
    def test_the_operation_id_is_in_snake_case(self, told, operation):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation.operation_id)

    @every_contract
    def test_operation_ids_are_unique(self, told):
        names = [operation.operation_id for operation in contract.operations(told.document)]
        assert sorted(names) == sorted(set(names))

    @every_contract
    def test_every_tag_is_described_and_used(self, told):
        operations = contract.operations(told.document)
        assert all(tag["description"] for tag in told.document["tags"])
        assert {tag["name"] for tag in told.document["tags"]} == {operation.tag for operation in operations}


class TestAccess:
    @every_operation
    def test_the_rules_of_access_are_told_and_empty_where_anybody_may_call(self, told, operation):
        assert operation.access is not None
        assert not (operation.anonymous and operation.access)

    @every_operation
    def test_every_rule_of_access_is_complete_and_names_what_exists(self, told, operation):
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity

        entities = {"dag": DagAccessEntity.__members__, "view": AccessView.__members__}
        for rule in operation.access or ():
            assert set(rule) <= RULE_KEYS
            assert rule["resource"] in RESOURCES
            assert rule["method"] in {"GET", "POST", "PUT", "DELETE", "MENU"}
            if "access_entity" in rule:
                assert rule["access_entity"] in entities[rule["resource"]]
            assert rule.get("id_from", "found") == "found" or self._source_exists(
                told, operation, rule["id_from"]
            )

    @staticmethod
    def _source_exists(told, operation, source):
        place, _, name = source.partition(".")
        if place == "body":
            return name.startswith("/") and "requestBody" in operation.definition
        return (place, name) in {(entry["in"], entry["name"]) for entry in parameters(told, operation)}


class TestAnswers:
    @every_operation
    def test_there_is_one_success_with_at_most_one_media_type(self, told, operation):
        assert (
            len([status for status in operation.definition["responses"] if str(status).startswith("2")]) == 1
        )
        assert len(operation.media_types) <= (2 if operation.operation_id in TWO_MEDIA_TYPES else 1)

    @every_operation
    def test_a_place_is_told_where_it_is_promised(self, told, operation):
        assert ("Location" in success(told, operation).get("headers", {})) == (
            "x-location" in operation.definition
        )

    @every_operation
    def test_statuses_are_quoted(self, told, operation):
        assert all(isinstance(status, str) for status in operation.definition["responses"])

    @every_operation
    def test_every_error_is_a_shared_one_and_there_is_a_default(self, told, operation):
        errors = {
            status: entry for status, entry in operation.definition["responses"].items() if status[0] != "2"
        }
        assert all(list(entry) == ["$ref"] for entry in errors.values())
        assert all(entry["$ref"].startswith("#/components/responses/") for entry in errors.values())
        assert errors["default"]["$ref"].endswith(DEFAULTS[told.name])

    @every_operation
    def test_the_refusals_that_can_happen_are_told(self, told, operation):
        wanted = set(OLD_REFUSALS) if told.is_old else set()
        if parameters(told, operation) or "requestBody" in operation.definition:
            wanted.add("400")
        if not operation.anonymous:
            wanted |= {"401", "403"} if operation.access else {"401"}
        if operation.body_type == contract.FORM and not told.is_old:
            wanted |= {"413", "415"}
        if any(
            entry["in"] == "path" and entry["schema"].get("enum") != ["~"]
            for entry in parameters(told, operation)
        ):
            wanted.add("404")
        assert wanted <= set(operation.definition["responses"])


class TestExamples:
    @every_operation
    def test_every_parameter_has_an_example_that_fits_and_a_description(self, told, operation):
        for parameter in parameters(told, operation):
            if parameter["in"] != "header" or parameter.get("required") or "x-example" in parameter:
                found = calls.matches(told.document, parameter["schema"], calls.example_of(parameter))
                assert not found, f"{parameter['name']}: {found}"
            assert parameter["description"].strip().endswith("."), parameter["name"]

    @every_operation
    def test_every_body_and_every_success_has_examples_that_fit(self, told, operation):
        body = contract.dereference(told.document, operation.definition.get("requestBody", {}))
        for media_type in [
            *body.get("content", {}).values(),
            *success(told, operation).get("content", {}).values(),
        ]:
            examples = list(calls.media_examples(told.document, media_type))
            assert examples
            for name, value in examples:
                found = calls.matches(told.document, media_type["schema"], value)
                assert not found, f"{name}: {found}"

    @every_contract
    def test_the_examples_of_every_shared_error_fit(self, told):
        responses = dict(told.document["components"]["responses"])
        assert "content" not in responses.pop("NotModified", {})
        for name, response in responses.items():
            ((media, content),) = response["content"].items()
            assert media == ERROR_MEDIA[told.name]
            examples = list(calls.media_examples(told.document, content))
            assert examples, name
            for _, value in examples:
                assert calls.matches(told.document, content["schema"], value) == [], name


class TestOptionalFields:
    """Swagger UI, Postman and Bruno send every example by themselves."""

    @every_operation
    def test_no_optional_parameter_has_an_example(self, told, operation):
        assert list(sent_unasked(parameters(told, operation))) == []

    @every_operation
    def test_no_optional_field_of_a_form_has_an_example(self, told, operation):
        body = contract.dereference(told.document, operation.definition.get("requestBody", {}))
        forms = {kind: media for kind, media in body.get("content", {}).items() if kind != contract.JSON}
        for kind, media in forms.items():
            assert not EXAMPLES & media.keys(), kind
            schema = contract.dereference(told.document, media["schema"])
            fields = [
                {"name": name, "required": name in schema.get("required", []), "schema": {}, **field}
                for name, field in (
                    (name, contract.dereference(told.document, entry))
                    for name, entry in schema["properties"].items()
                )
            ]
            assert list(sent_unasked(fields)) == [], kind


class TestRequests:
    @every_operation
    def test_everything_that_is_sent_is_bounded(self, told, operation):
        sent = [(entry["name"], entry["schema"]) for entry in parameters(told, operation)]
        body = contract.dereference(told.document, operation.definition.get("requestBody", {}))
        sent += [("body", media["schema"]) for media in body.get("content", {}).values()]
        assert [
            fault for name, schema in sent for fault in unbounded(told.document, schema, name, frozenset())
        ] == []

    @every_operation
    def test_query_parameters_say_their_type_where_connexion_reads_it(self, told, operation):
        for parameter in parameters(told, operation):
            assert "type" in parameter["schema"], parameter["name"]
            if parameter["schema"]["type"] == "array":
                assert (parameter["style"], parameter["explode"]) == ("form", True), parameter["name"]
            if parameter["in"] == "header":
                assert parameter["schema"]["type"] == "string", parameter["name"]


class TestForms:
    @every_operation
    def test_an_optional_text_may_be_empty(self, told, operation):
        assert list(unwilling(told.document, operation)) == []


class TestOldCalls:
    """What the dispatchers of both plugins knew of a call, and what became of it."""

    @every_old_call
    def test_it_is_answered_to_get_and_post_alike(self, item):
        get, post = item.get("get"), item["post"]
        assert post["deprecated"] is True
        if get is None:
            assert post["operationId"] in TAKE_FILES
            return
        assert post["operationId"] == f"post_{get['operationId']}"
        assert get["deprecated"] is True
        assert get["x-airflow-access"] == post["x-airflow-access"]
        assert get.get("x-read-only", True) == post.get("x-read-only", False)
        assert "requestBody" not in get
        assert not {"parameters"} & {*get, *post}, "both take what stands above them"

    @every_old_call
    def test_its_plugins_and_its_successor_are_told(self, item):
        told = item["x-legacy"]
        assert set(told) <= {"plugins", "kind", "successor", "fixed", "required"}
        assert set(told["plugins"]) <= {"clairvoyant", "ebay"}
        if "clairvoyant" in told["plugins"]:
            assert told["kind"] in {"command", "text", "background"}
        (successor,) = (entry for entry in SUCCESSORS if entry.operation_id == told["successor"])
        for method in {"get", "post"} & set(item):
            assert f"`{successor.operation_id}`" in item[method]["description"]

    @every_old_call
    def test_a_change_is_none_that_only_reads(self, item):
        (successor,) = (entry for entry in SUCCESSORS if entry.operation_id == item["x-legacy"]["successor"])
        for name, method in ((entry, item[entry]) for entry in ("get", "post") if entry in item):
            assert successor.read_only or method.get("x-read-only", name == "get") is False

    @every_old_call
    def test_its_arguments_are_those_of_a_command_line(self, item):
        entries = [contract.dereference(OLD, entry) for entry in item.get("parameters", [])]
        positions = sorted(entry["x-position"] for entry in entries if "x-position" in entry)
        assert positions == list(range(1, len(positions) + 1))
        for entry in entries:
            assert entry["in"] == "query"
            assert entry["schema"]["type"] in {"string", "boolean"}, entry["name"]

    @every_old_call
    def test_its_form_takes_what_its_query_takes(self, item):
        content = item["post"].get("requestBody", {}).get("content", {})
        if not content:
            # Clairvoyant's looked into the address alone.
            assert not item.get("parameters") or item["post"]["operationId"] == "post_refresh_dag"
            return
        schemas = [contract.dereference(OLD, media["schema"]) for media in content.values()]
        assert all(schema == schemas[0] for schema in schemas)
        fields = schemas[0]["properties"]
        in_query = {
            entry["name"]: contract.dereference(OLD, entry["schema"])["type"]
            for entry in (contract.dereference(OLD, entry) for entry in item.get("parameters", []))
        }
        types = {name: contract.dereference(OLD, field)["type"] for name, field in fields.items()}
        assert {name: types.get(name) for name in in_query} == in_query
        assert not any(schema.get("required") for schema in schemas), "the query may carry them"

    def test_every_name_of_both_plugins_is_there(self):
        told = {path.lstrip("/"): item["x-legacy"]["plugins"] for path, item in OLD["paths"].items()}
        assert {name for name, plugins in told.items() if "ebay" in plugins} == EBAY
        assert {name for name, plugins in told.items() if "clairvoyant" in plugins} == CLAIRVOYANT


class TestSchemas:
    @every_contract
    def test_every_schema_has_a_pascal_case_name_and_a_description(self, told):
        for name, schema in told.document["components"]["schemas"].items():
            assert re.fullmatch(r"([A-Z][a-z0-9]*)+", name), name
            assert schema.get("description"), name

    @every_operation
    def test_what_an_answer_always_has_is_required(self, told, operation):
        schemas = [media["schema"] for media in success(told, operation).get("content", {}).values()]
        loose = [
            place
            for schema in schemas
            for place in without_required(told.document, schema, "answer", frozenset())
        ]
        assert loose == []

    @every_contract
    def test_no_reference_has_siblings_and_nothing_is_nullable_by_allof(self, told):
        assert list(crooked(told.document, "")) == []


def sent_unasked(fields: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The optional parameters or fields that have an example, themselves or in their schema."""
    for field in fields:
        if field.get("required") is not True and EXAMPLES & {*field, *field["schema"]}:
            yield field["name"]


def unwilling(document: contract.Document, operation: contract.Operation) -> Iterator[str]:
    """The optional texts of a form that may not be empty: browsers send such parts, and they count as absent."""
    if operation.body_type != contract.FORM:
        return
    media = operation.definition["requestBody"]["content"][contract.FORM]
    schema = contract.dereference(document, media["schema"])
    for name, entry in schema["properties"].items():
        field = contract.dereference(document, entry)
        is_text = field["type"] == "string" and field.get("format") is None and "enum" not in field
        if is_text and name not in schema.get("required", []) and calls.matches(document, field, ""):
            yield name


def unbounded(
    document: contract.Document, schema: dict[str, Any], place: str, seen: frozenset[str]
) -> Iterator[str]:
    """The places of a request's schema that take texts, lists, numbers or objects without a limit."""
    if "$ref" in schema:
        if schema["$ref"] in seen:
            return
        seen |= {schema["$ref"]}
        schema = contract.dereference(document, schema)
    yield from (f"{place}: {fault}" for fault in open_ends(schema))
    if "items" in schema:
        yield from unbounded(document, schema["items"], f"{place}[]", seen)
    for name, entry in schema.get("properties", {}).items():
        yield from unbounded(document, entry, f"{place}.{name}", seen)
    further = [entry for word in ("oneOf", "anyOf", "allOf") for entry in schema.get(word, [])]
    if "x-constraints" in schema and "type" not in schema:
        further.append(schema["x-constraints"])
    for entry in further:
        yield from unbounded(document, entry, place, seen)


def open_ends(schema: dict[str, Any]) -> Iterator[str]:
    """What of a schema itself is without a limit."""
    kind, told = schema.get("type"), set(schema)
    if kind == "string" and not ({"maxLength", "enum"} & told or schema.get("format") in SELF_BOUNDED):
        yield "no maxLength"
    if kind in ("integer", "number") and not {"minimum", "maximum", "format", "enum"} & told:
        yield "no bounds"
    if kind == "array" and "maxItems" not in told:
        yield "no maxItems"
    if kind == "object" and "additionalProperties" not in told:
        yield "additionalProperties left open"


def without_required(
    document: contract.Document, schema: dict[str, Any], place: str, seen: frozenset[str]
) -> Iterator[str]:
    """The objects of an answer's schema that name fields and require none of them."""
    if "$ref" in schema:
        if schema["$ref"] in seen:
            return
        place = schema["$ref"].rpartition("/")[2]
        seen |= {schema["$ref"]}
        schema = contract.dereference(document, schema)
    if schema.get("properties") and not schema.get("required") and "x-constraints" not in schema:
        yield place
    if "items" in schema:
        yield from without_required(document, schema["items"], f"{place}[]", seen)
    for name, entry in schema.get("properties", {}).items():
        yield from without_required(document, entry, f"{place}.{name}", seen)


def crooked(node: Any, place: str) -> Iterator[str]:
    """References with siblings, and `nullable` beside `allOf`, which validators of draft 4 read differently."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str) and len(node) > 1:
            yield f"{place}: $ref with siblings"
        if node.get("nullable") is True and "type" not in node:
            yield f"{place}: nullable without type"
        for key, value in node.items():
            yield from crooked(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from crooked(value, f"{place}/{index}")


class TestTheChecksThemselves:
    """A check that cannot fail proves nothing: each is shown a fault."""

    def test_an_example_that_is_sent_unasked_is_seen(self):
        text = {"type": "string"}
        entries = [
            {"name": "a", "example": "x", "schema": text},
            {"name": "b", "required": False, "examples": {}, "schema": text},
            {"name": "c", "schema": {**text, "example": "x"}},
            {"name": "d", "x-example": "x", "schema": text},
            {"name": "e", "required": True, "example": "x", "schema": text},
        ]
        assert list(sent_unasked(entries)) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("schema", "fault"),
        [
            ({"type": "string"}, "x: no maxLength"),
            ({"type": "integer"}, "x: no bounds"),
            ({"type": "array", "items": {"type": "string", "maxLength": 3}}, "x: no maxItems"),
            ({"type": "array", "maxItems": 2, "items": {"type": "string"}}, "x[]: no maxLength"),
            ({"type": "object", "properties": {}}, "x: additionalProperties left open"),
            (
                {"type": "object", "additionalProperties": False, "properties": {"y": {"type": "number"}}},
                "x.y: no bounds",
            ),
        ],
    )
    def test_an_open_end_is_seen(self, schema, fault):
        assert list(unbounded(DOCUMENT, schema, "x", frozenset())) == [fault]

    def test_a_form_that_does_not_take_what_browsers_send_is_seen(self):
        text = {"type": "string", "maxLength": 9}
        fields = {"needed": {**text, "minLength": 1}, "free": text, "digits": {**text, "pattern": "^[0-9]+$"}}
        body = {"type": "object", "required": ["needed"], "properties": {**fields, "long": fields["needed"]}}
        defined = small.operation("a", body=body, takes=contract.FORM)
        document = small.document({"/a": {"post": defined}})
        assert list(unwilling(document, contract.operations(document)[0])) == ["digits", "long"]

    def test_an_answer_without_required_fields_is_seen(self):
        inner = {"type": "object", "properties": {"y": {"type": "string"}}}
        outer = {"type": "object", "required": ["x"], "properties": {"x": {"type": "array", "items": inner}}}
        assert list(without_required(DOCUMENT, outer, "a", frozenset())) == ["a.x[]"]

    def test_crooked_schemas_are_seen(self):
        schema = {"a": {"$ref": "#/x", "nullable": True}, "b": [{"allOf": [], "nullable": True}]}
        assert list(crooked(schema, "")) == [
            "/a: $ref with siblings",
            "/a: nullable without type",
            "/b/0: nullable without type",
        ]

    def test_an_example_that_does_not_fit_is_seen(self):
        schema = {"type": "string", "nullable": True, "format": "date-time"}
        assert calls.matches(DOCUMENT, schema, None) == []
        assert calls.matches(DOCUMENT, schema, "yesterday") != []
        assert calls.matches(DOCUMENT, schema, 3) != []
