"""Update masks: every operation that has one accepts the fields of its body, and rejects all other names."""

from __future__ import annotations

import pytest

from airflow_rest_api.web import contract
from tests.support import calls

DOCUMENT = contract.load("openapi.yaml")
MASK = "update_mask"


def schema_of_body(operation):
    media = operation.definition["requestBody"]["content"][contract.JSON]
    return contract.dereference(DOCUMENT, media["schema"])


def masks():
    """Each operation with a mask in its query, with the values of the mask and the fields of the body."""
    for operation in contract.operations(DOCUMENT):
        for parameter in contract.parameters(DOCUMENT, operation):
            if parameter["name"] == MASK:
                fields = schema_of_body(operation)["properties"]
                yield operation, parameter["schema"]["items"], fields


def bulk_masks():
    """Each bulk operation, with the values of the mask of its update and the fields of an entity."""
    for operation in contract.operations(DOCUMENT):
        if operation.operation_id.startswith("bulk_"):
            actions = schema_of_body(operation)["properties"]["actions"]
            union = contract.dereference(DOCUMENT, actions["items"])
            for entry in union["oneOf"]:
                fields = contract.dereference(DOCUMENT, entry)["properties"]
                if MASK in fields:
                    entity = contract.dereference(DOCUMENT, fields["entities"]["items"])
                    yield operation, fields[MASK]["items"], entity["properties"]


MASKS = [pytest.param(*entry, id=entry[0].operation_id) for entry in masks()]
BULK_MASKS = [pytest.param(*entry, id=entry[0].operation_id) for entry in bulk_masks()]


def rejected(answer, value, names):
    """Assert that the answer is an error about this value that lists the valid fields, and return its detail."""
    assert answer.status_code == 400, answer.text
    (fault,) = answer.json()["errors"]
    assert f"'{value}' is not one of {', '.join(names)}." in fault["detail"]
    assert fault["detail"] in answer.json()["detail"]
    return fault["detail"]


def test_all_masks_are_found():
    assert len(MASKS) == 10
    assert len(BULK_MASKS) == 5


@pytest.mark.parametrize(("operation", "items", "fields"), MASKS + BULK_MASKS)
def test_a_mask_names_the_fields_of_the_body(operation, items, fields):
    writable = [name for name, field in fields.items() if not field.get("readOnly")]
    assert sorted(items["enum"]) == sorted(writable)


@pytest.mark.parametrize(("operation", "items", "fields"), MASKS)
@pytest.mark.parametrize("value", ["unheard_of", "{0},{0}", ""])
def test_another_name_is_an_error(rest, operation, items, fields, value):
    call, names = calls.plainest(DOCUMENT, operation), items["enum"]
    value = value.format(names[0])
    params = {**call.params, MASK: [names[-1], value] if len(names) > 1 else value}
    answer = rest.request(operation.method, call.path, params=params, json=call.json)
    if not value:
        assert answer.status_code == 400
        return
    detail = rejected(answer, value, names)
    if len(names) > 1:
        assert detail.endswith(f"values: `{MASK}={names[0]}&{MASK}={names[1]}`.")


@pytest.mark.parametrize(("operation", "items", "fields"), BULK_MASKS)
@pytest.mark.parametrize("value", ["unheard_of", "note,name"])
def test_another_name_is_an_error_in_bulk(rest, operation, items, fields, value):
    action = {"action": "update", "entities": [], MASK: [items["enum"][0], value]}
    path = calls.plainest(DOCUMENT, operation).path
    answer = rest.request(operation.method, path, json={"actions": [action]})
    detail = rejected(answer, value, items["enum"])
    assert answer.json()["errors"][0]["pointer"] == f"/actions/0/{MASK}/1"
    assert detail.endswith("Send each of them by itself.") == ("," in value)
