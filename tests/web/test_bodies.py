"""Bodies: JSON that is read defensively and checked against the contract."""

from __future__ import annotations

import pytest

from tests.web.small import operation

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 10, "minLength": 1, "pattern": "^[a-z]+$"},
        "number": {"type": "integer", "minimum": 0, "maximum": 10, "nullable": True},
        "above": {
            "type": "number",
            "minimum": 0,
            "exclusiveMinimum": True,
            "maximum": 1,
            "exclusiveMaximum": True,
        },
        "when": {"type": "string", "format": "date-time"},
        "kind": {"type": "string", "enum": ["a", None], "nullable": True},
        "list": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "uniqueItems": True,
            "items": {"type": "string"},
        },
        "map": {"type": "object", "minProperties": 1, "maxProperties": 2, "additionalProperties": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "words": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "union": {
            "oneOf": [
                {"type": "string"},
                {"type": "object", "properties": {"do": {"enum": ["x"]}, "what": {"type": "string"}}},
                {"type": "object", "properties": {"do": {"enum": ["y"]}, "what": {"enum": ["a", "b"]}}},
            ]
        },
        "a/b~c": {"type": "string"},
    },
}
PATHS = {
    "/things": {"post": operation("make_thing", body=SCHEMA)},
    "/loose": {"post": operation("make_loose", body={"type": "object"}, required=False)},
}
JSON = {"content-type": "application/json"}


@pytest.fixture
def post(build):
    client = build(
        PATHS, {"make_thing": lambda body: {"got": body}, "make_loose": lambda body: {"got": body}}
    )
    return lambda content, path="things", **headers: client.post(
        path, content=content, headers={**JSON, **headers}
    )


def refused(response, status=400):
    assert response.status_code == status, response.text
    document = response.json()
    assert document["detail"].isprintable()
    assert len(document["detail"]) < 300
    return document


class TestSyntax:
    @pytest.mark.parametrize(
        "content",
        [
            b"{",
            b'{"name": "a"} x',
            b'{"name": "a"}{}',
            b"'a'",
            b'{"name": NaN}',
            b'{"name": Infinity}',
            b'{"number": 1e999}',
            b"\xff",
            b'{"name": "\xe4"}',
            '{"name": "a"}'.encode("utf-16"),
            b"{}\xef\xbb\xbf",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b'{"name": "\\ud800"}',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"[" * 100_000 + b"]" * 100_000,
        ],
        ids=lambda content: repr(content[:12]),
    )
    def test_what_is_no_json_is_malformed(self, post, content):
        for path in ("things", "loose"):
            assert refused(post(content, path))["detail"].startswith("The body is not valid JSON")

    def test_what_nests_too_deep_is_malformed(self, post):
        assert post(b'{"a":' * 64 + b"1" + b"}" * 64, "loose").status_code == 200
        assert "deeper than 64" in refused(post(b'{"a":' * 65 + b"1" + b"}" * 65, "loose"))["detail"]
        assert "deeper than 64" in refused(post(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "loose"))["detail"]

    @pytest.mark.parametrize("content", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
    def test_a_body_that_is_needed_is_asked_for(self, post, content):
        assert refused(post(content))["detail"] == "The request needs a body."
        assert post(content, "loose").json() == {"got": {}}

    @pytest.mark.parametrize(
        "content", [b'{"a": "\\u0000"}', b'{"\\u0000": 1}', b'{"a": [{"b": "x\\u0000"}]}', b'["\\u0000"]']
    )
    def test_nul_is_refused_wherever_it_is(self, post, content):
        assert "NUL" in refused(post(content, "loose"))["detail"]

    def test_a_text_that_spells_nul_is_none(self, post):
        assert post(b'{"a": "\\\\u0000", "b": [1, null]}', "loose").json()["got"]["a"] == "\\u0000"

    @pytest.mark.parametrize(
        "media_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json-seq",
            "application/+json",
            "text/vnd.api+json",
            "json",
            "*/*",
            "",
            "/",
        ],
    )
    def test_another_media_type_is_refused(self, post, media_type):
        problem = refused(post(b'{"name": "a"}', **{"content-type": media_type}), 415)
        assert media_type == "" or media_type not in problem["detail"]

    @pytest.mark.parametrize(
        "media_type",
        [
            "Application/JSON",
            "application/json ; charset=UTF-8",
            "APPLICATION/JSON",
            "application/merge-patch+json",
            "application/vnd.api+json; ext=bulk",
            "Application/LD+JSON",
        ],
    )
    def test_the_media_type_is_known_in_every_spelling(self, post, media_type):
        assert post(b'{"name": "a"}', **{"content-type": media_type}).json() == {"got": {"name": "a"}}
        assert refused(post(b'{"nane": "a"}', **{"content-type": media_type}))["errors"]

    @pytest.mark.parametrize("content", [b"null", b" null\n", b"\xef\xbb\xbfnull"])
    def test_null_is_an_absent_body_where_the_body_is_optional(self, post, content):
        assert post(content, "loose").json() == {"got": {}}
        assert refused(post(content))["detail"] == "The body: Must be of type object."

    def test_a_byte_order_mark_is_ignored(self, post):
        assert post(b"\xef\xbb\xbf" + b'{"name": "a"}').json() == {"got": {"name": "a"}}

    @pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data", "json", ""])
    def test_the_media_type_of_an_empty_body_is_ignored(self, post, media_type):
        headers = {"content-type": media_type, "content-length": "0"}
        assert post(b"", "loose", **headers).json() == {"got": {}}
        assert refused(post(b"", **headers))["detail"] == "The request needs a body."

    @pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
    def test_a_compressed_body_is_refused(self, post, encoding):
        refused(post(b"{}", **{"content-encoding": encoding}), 415)

    def test_an_encoding_that_changes_nothing_is_none(self, post):
        assert post(b'{"name": "a"}', **{"content-encoding": "Identity"}).status_code == 200


class TestNumbers:
    @pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 10**18])
    def test_whole_ones_are_exact(self, post, number):
        assert post(f'{{"a": [{number}]}}'.encode(), "loose").json() == {"got": {"a": [number]}}

    @pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "9" * 200])
    def test_what_has_no_room_is_refused(self, post, number):
        problem = refused(post(f'{{"a": {number}}}'.encode(), "loose"))
        assert problem["type"].endswith(":number-too-large")

    def test_in_a_text_and_behind_the_point_there_may_be_any_digits(self, post):
        digits = "1" * 30
        sent = f'{{"a": "{digits}", "b": 0.{digits}}}'.encode()
        assert post(sent, "loose").json()["got"]["a"] == digits


class TestSchema:
    @pytest.mark.parametrize(
        ("content", "pointer", "detail"),
        [
            (b"null", "", "Must be of type object."),
            (b"[]", "", "Must be of type object."),
            (b"{}", "/name", "The field is required."),
            (b'{"name": "a", "nam": 1}', "/nam", "Unknown field."),
            (b'{"name": 1}', "/name", "Must be of type string."),
            (b'{"name": ""}', "/name", "Must have at least 1 characters."),
            (b'{"name": "A"}', "/name", "Must match ^[a-z]+$."),
            (b'{"name": "abcdefghijk"}', "/name", "Must have at most 10 characters."),
            (b'{"name": "a", "number": true}', "/number", "Must be of type integer or null."),
            (b'{"name": "a", "number": 1.0}', "/number", "Must be of type integer or null."),
            (b'{"name": "a", "number": 1e3}', "/number", "Must be of type integer or null."),
            (b'{"name": "a", "number": -1}', "/number", "Must be at least 0."),
            (b'{"name": "a", "number": 11}', "/number", "Must be at most 10."),
            (b'{"name": "a", "above": 0}', "/above", "Must be more than 0."),
            (b'{"name": "a", "above": 1}', "/above", "Must be less than 1."),
            (b'{"name": "a", "when": "today"}', "/when", "Must be a date-time."),
            (b'{"name": "a", "when": "2026-01-01T00:00:00"}', "/when", "Must be a date-time."),
            (b'{"name": "a", "when": "0001-01-01T00:00:00+14:00"}', "/when", "Must be a date-time."),
            (b'{"name": "a", "kind": "b"}', "/kind", "Must be one of a, null."),
            (b'{"name": "a", "list": []}', "/list", "Must have at least 1 entries."),
            (b'{"name": "a", "list": ["1", "2", "3"]}', "/list", "Must have at most 2 entries."),
            (b'{"name": "a", "list": ["1", "1"]}', "/list", "Must not have an entry twice."),
            (b'{"name": "a", "list": ["1", 2]}', "/list/1", "Must be of type string."),
            (b'{"name": "a", "map": {}}', "/map", "Must have at least 1 fields."),
            (b'{"name": "a", "map": {"a": 1, "b": 2, "c": 3}}', "/map", "Must have at most 2 fields."),
            (b'{"name": "a", "either": []}', "/either", "The value does not fit the schema."),
            (b'{"name": "a", "words": ["c"]}', "/words/0", "'c' is not one of a, b."),
            (
                b'{"name": "a", "words": ["a,b"]}',
                "/words/0",
                "'a,b' is not one of a, b. Send each of them by itself.",
            ),
            (b'{"name": "a", "words": ["hunter-2"]}', "/words/0", "Must be one of a, b."),
            (b'{"name": "a", "words": [1]}', "/words/0", "Must be one of a, b."),
            (b'{"name": "a", "union": {"do": "x", "what": 1}}', "/union/what", "Must be of type string."),
            (b'{"name": "a", "union": {"do": "y", "what": "z"}}', "/union/what", "Must be one of a, b."),
            (b'{"name": "a", "union": {"do": "z"}}', "/union", "The value does not fit the schema."),
            (b'{"name": "a", "a/b~c": 1}', "/a~1b~0c", "Must be of type string."),
        ],
    )
    def test_a_field_that_does_not_fit_is_named_by_its_pointer(self, post, content, pointer, detail):
        problem = refused(post(content))
        assert {"pointer": pointer, "detail": detail} in problem["errors"]
        assert (f"'{pointer}'" if pointer else "The body") in problem["detail"]

    def test_an_unknown_field_has_a_sentence_of_its_own(self, post):
        assert refused(post(b'{"name": "a", "nam": 1}'))["detail"] == "Unknown field '/nam'."

    def test_values_are_not_repeated(self, post):
        assert "hunter2" not in post(b'{"name": "HUNTER2hunter2hunter2", "number": "hunter2"}').text

    @pytest.mark.parametrize("name", [b"a\\nb", b"x" * 5000, b"\\u202e"])
    def test_a_hostile_name_is_told_on_one_short_line(self, post, name):
        assert len(refused(post(b'{"name": "a", "' + name + b'": 1}'))["errors"][0]["pointer"]) < 110

    def test_faults_without_end_are_cut(self, post):
        many = b",".join(b"%d" % number for number in range(100))
        assert len(refused(post(b'{"name": "a", "list": [' + many + b"]}"))["errors"]) <= 21

    def test_null_is_a_value_of_what_may_be_null(self, post):
        body = {"name": "a", "number": None, "kind": None}
        assert post(b'{"name": "a", "number": null, "kind": null}').json() == {"got": body}
