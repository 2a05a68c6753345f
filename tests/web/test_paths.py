"""The table of paths: literals before values, all methods of an address, values with slashes."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from airflow_rest_api.web import contract
from airflow_rest_api.web.paths import Found, PathTable
from tests.web.small import operation, parameter

PATHS = {
    "/things/{thing_id}": {
        "get": operation("get_thing", parameters=[parameter("thing_id", "path", type="string")]),
        "delete": operation("delete_thing", parameters=[parameter("thing_id", "path", type="string")]),
    },
    "/things/list": {"post": operation("list_things")},
    "/things/{thing_id}/{number}": {
        "get": operation(
            "get_part",
            parameters=[
                parameter("thing_id", "path", type="string"),
                parameter("number", "path", type="integer"),
            ],
        )
    },
    "/things/{thing_id}/skip": {
        "post": operation("skip_thing", parameters=[parameter("thing_id", "path", type="string")])
    },
    "/values/{key}": {
        "get": operation("get_value", parameters=[parameter("key", "path", type="string", format="path")])
    },
    "/values/{key}/reveal": {
        "post": operation("reveal_value", parameters=[parameter("key", "path", type="string", format="path")])
    },
    "/files/{root}/{path}": {
        "get": operation(
            "get_file",
            parameters=[
                parameter("root", "path", type="string"),
                parameter("path", "path", type="string", format="path"),
            ],
        )
    },
}


@pytest.fixture(scope="module")
def table() -> PathTable:
    document = {"openapi": "3.0.3", "paths": PATHS, "components": {}}
    return PathTable([("/v1", document, contract.operations(document))])


def refusal(table: PathTable, method: str, place: str) -> HTTPException:
    with pytest.raises(HTTPException) as refused:
        table.find(method, place)
    return refused.value


def test_a_value_of_the_path_is_found_by_its_name(table):
    assert table.find("GET", "/v1/things/a b") == Found("/v1", "get_thing", {"thing_id": "a b"})


def test_a_literal_segment_comes_before_a_value(table):
    assert table.find("POST", "/v1/things/list").operation_id == "list_things"


def test_a_method_that_only_the_value_has_is_served_for_the_literal_too(table):
    assert table.find("DELETE", "/v1/things/list") == Found("/v1", "delete_thing", {"thing_id": "list"})


def test_a_literal_segment_is_no_malformed_number(table):
    assert table.find("POST", "/v1/things/a/skip").operation_id == "skip_thing"
    refused = refusal(table, "GET", "/v1/things/a/skip")
    assert (refused.status_code, refused.headers) == (405, {"Allow": "POST"})
    assert table.find("GET", "/v1/things/a/-1").arguments == {"thing_id": "a", "number": "-1"}
    # What the value has to be is said by the operation.
    assert table.find("GET", "/v1/things/a/other").operation_id == "get_part"


def test_a_method_that_is_not_served_is_told_those_of_the_path_without_values(table):
    refused = refusal(table, "PATCH", "/v1/things/list")
    assert (refused.status_code, refused.headers) == (405, {"Allow": "POST"})
    refused = refusal(table, "PATCH", "/v1/things/other")
    assert (refused.status_code, refused.headers) == (405, {"Allow": "DELETE, GET, HEAD"})


@pytest.mark.parametrize(
    "place", ["", "/", "/v1", "/v1/things", "/v1/things/", "/v1//list", "/v1/things/a/b/c", "/v2/things/a"]
)
def test_an_address_of_no_path_is_not_found(table, place):
    assert refusal(table, "GET", place).status_code == 404


def test_an_encoded_slash_is_no_part_of_an_id_and_separates_nothing(table):
    with pytest.raises(HTTPException) as refused:
        table.find("GET", "/v1/things/a", encoded_slash=True)
    assert refused.value.status_code == 404
    assert table.find("GET", "/v1/files/dags/a/c.py", encoded_slash=True).arguments["path"] == "a/c.py"


def test_a_path_in_the_last_place_keeps_its_slashes(table):
    assert table.find("GET", "/v1/files/dags/a/b/c.py").arguments == {"root": "dags", "path": "a/b/c.py"}
    assert table.find("GET", "/v1/files/dags/c.py").arguments == {"root": "dags", "path": "c.py"}
    assert refusal(table, "GET", "/v1/files/dags").status_code == 404
    assert refusal(table, "GET", "/v1/files//c.py").status_code == 404


@pytest.mark.parametrize("key", ["a", "a/b", "a//b", "/a", "a/reveal", "reveal/reveal", ".."])
def test_a_value_with_slashes_may_stand_before_a_literal(table, key):
    assert table.find("GET", f"/v1/values/{key}") == Found("/v1", "get_value", {"key": key})
    assert table.find("POST", f"/v1/values/{key}/reveal") == Found("/v1", "reveal_value", {"key": key})


def test_the_literal_alone_is_no_value(table):
    for place in ("/v1/values/reveal", "/v1/values//reveal"):
        assert refusal(table, "POST", place).headers == {"Allow": "GET, HEAD"}
    assert refusal(table, "PUT", "/v1/values/a/reveal").headers == {"Allow": "GET, HEAD, POST"}
