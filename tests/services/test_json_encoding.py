"""The JSON encoder: what orjson rejects is written as well."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from enum import Enum
from uuid import UUID

import pytest

from airflow_rest_api.services import json_encoding, stored_json


class Color(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20261201123456789012345, "20261201123456789012345"),
        ({"a": -(10**30), "b": [True, None, 0.5]}, '{"a":-1' + "0" * 30 + ',"b":[true,null,0.5]}'),
        ([10**30, float("nan"), float("inf"), -float("inf")], "[1" + "0" * 30 + ",null,null,null]"),
        ({"\udfff": "a\ud800b", "c": 'ä "\\ud800"'}, '{"\\udfff":"a\\ud800b","c":"ä \\"\\\\ud800\\""}'),
        ([10**30, datetime(2026, 1, 1, tzinfo=timezone.utc)], "[1" + "0" * 30 + ',"2026-01-01T00:00:00Z"]'),
        ([10**30, UUID(int=1), Color.RED, ()], f'[1{"0" * 30},"{UUID(int=1)}","red",[]]'),
        ({1: {}}, '{"1":{}}'),
    ],
)
def test_values_that_orjson_rejects(value, text):
    assert json_encoding.encode(value).decode() == text


@pytest.mark.parametrize("depth", [255, 900, 5_000])
def test_deep_nesting(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    assert json_encoding.encode(value).decode() == "[" * depth + "]" * depth


def test_a_large_value():
    value = {"order": 10**30, "text": "x" * 1_000_000, "list": list(range(10_000))}
    assert json.loads(json_encoding.encode(value)) == value


@pytest.mark.parametrize("other", [[], [10**30]])
def test_a_type_that_json_cannot_express(other):
    with pytest.raises(TypeError):
        json_encoding.encode([object(), *other])
    assert json.loads(json_encoding.encode([{1}, *other], default=list)) == [[1], *other]


def test_a_value_that_contains_itself():
    value = []
    value.append(value)
    with pytest.raises(TypeError):
        json_encoding.encode(value)


def test_fields_that_cannot_be_encoded_are_null():
    value = {"id": 1, "conf": {"n": 10**30}, "bad": object(), "worse": [{"a": object()}]}
    encoded = json.loads(json_encoding.encode_fields(value))
    assert encoded == {"id": 1, "conf": {"n": 10**30}, "bad": None, "worse": None}
    assert json_encoding.encode_fields([1]) == json_encoding.encode_fields(None) == b"{}"


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ('{"n": 1.5}', b'{"n":1.5}'),
        (f'{{"n": {"7" * 5_000}}}', f'{{"n": {"7" * 5_000}}}'.encode()),
        (
            f'[{"7" * 5_000}, NaN, -Infinity, Infinity, "NaN \\" Infinity"]',
            f'[{"7" * 5_000}, null, null, null, "NaN \\" Infinity"]'.encode(),
        ),
        (f"{'[' * 5_000}{']' * 5_000}", f"{'[' * 5_000}{']' * 5_000}".encode()),
        ("no JSON", b'"no JSON"'),
    ],
)
def test_stored_documents_that_python_cannot_decode_are_sent_verbatim(stored, sent):
    assert json_encoding.encode(stored_json.decode(stored)) == sent
    assert (
        json_encoding.encode([10**30, stored_json.decode(stored)]) == b"[1" + b"0" * 30 + b"," + sent + b"]"
    )
