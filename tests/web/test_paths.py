"""The table of paths: literals before values, all methods of an address, values with slashes."""

from __future__ import annotations

from urllib.parse import unquote

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
    "/stocks/{number}": {
        "get": operation("get_stock", parameters=[parameter("number", "path", type="integer")])
    },
    "/stocks/newest": {"get": operation("get_newest_stock")},
    "/parts/count": {"post": operation("count_parts")},
    "/parts/{number}": {
        "get": operation("get_numbered", parameters=[parameter("number", "path", type="integer")])
    },
    "/connections/test": {"post": operation("test_connection")},
    "/connections/{connection_id}": {
        "get": operation("get_connection", parameters=[parameter("connection_id", "path")])
    },
    "/connections/{connection_id}/reveal": {
        "post": operation("reveal_connection", parameters=[parameter("connection_id", "path")])
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
    # The operation reports what the value has to be.
    assert table.find("GET", "/v1/things/a/1.5").operation_id == "get_part"


def test_an_unknown_word_where_other_paths_have_literals_is_not_a_malformed_number(table):
    assert table.find("GET", "/v1/stocks/newest").operation_id == "get_newest_stock"
    assert refusal(table, "GET", "/v1/stocks/oldest").status_code == 404
    # Where no literal can be read, it is one.
    assert table.find("GET", "/v1/parts/first").operation_id == "get_numbered"


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


class TestUndecoded:
    """The undecoded path defines which slash separates, and which is a part of an id."""

    @staticmethod
    def found(table, method, raw, root=""):
        place = unquote(raw)
        return table.find(method, place.removeprefix(unquote(root)), raw.encode())

    @pytest.mark.parametrize("root", ["", "/rest_api", "/a%20b/rest_api", "/a%2Fb"])
    def test_an_encoded_slash_is_a_part_of_an_id(self, table, root):
        for raw, name in (("a%2Fb", "a/b"), ("a%2freveal", "a/reveal"), ("%2F", "/"), ("a%252Fb", "a%2Fb")):
            place = f"{root}/v1/connections/{raw}"
            assert self.found(table, "GET", place, root).arguments == {"connection_id": name}
            revealed = self.found(table, "POST", f"{place}/reveal", root)
            assert revealed == Found("/v1", "reveal_connection", {"connection_id": name})

    def test_an_id_that_holds_a_literal_is_not_the_operation(self, table):
        with pytest.raises(HTTPException) as refused:
            self.found(table, "POST", "/v1/connections/a%2Freveal")
        assert refused.value.headers == {"Allow": "GET, HEAD"}
        with pytest.raises(HTTPException) as refused:
            self.found(table, "POST", "/v1/values/a%2Freveal")
        assert refused.value.headers == {"Allow": "GET, HEAD"}

    @pytest.mark.parametrize(
        "raw", ["/v1%2Fconnections/a", "/v1/connections%2Fa", "/v1/connections/a/b", "/v1/connections/"]
    )
    def test_it_separates_nothing(self, table, raw):
        with pytest.raises(HTTPException) as refused:
            self.found(table, "GET", raw)
        assert refused.value.status_code == 404

    def test_it_ends_no_prefix(self, table):
        with pytest.raises(HTTPException) as refused:
            table.find("GET", "/v1/connections/a", b"/rest_api%2Fv1/connections/a")
        assert refused.value.status_code == 404

    def test_a_literal_may_be_encoded(self, table):
        assert self.found(table, "POST", "/v1/connections/te%73t").operation_id == "test_connection"

    def test_a_value_of_format_path_takes_slashes_of_both_kinds(self, table):
        for raw in ("a/c.py", "a%2Fc.py"):
            assert self.found(table, "GET", f"/v1/files/dags/{raw}").arguments["path"] == "a/c.py"
        assert self.found(table, "POST", "/v1/values/a/b%2Fc/reveal").arguments == {"key": "a/b/c"}

    def test_characters_beyond_ascii_and_line_breaks_are_parts_of_ids(self, table):
        raw = "/v1/connections/%C3%A4%0A%E6%97%A5%2F%20"
        assert self.found(table, "GET", raw).arguments == {"connection_id": "\u00e4\n\u65e5/ "}


class TestWithoutTheUndecodedPath:
    @pytest.mark.parametrize("raw", [b"", b"/another/path"])
    def test_the_longest_literal_match_decides(self, table, raw):
        assert table.find("GET", "/v1/connections/a/b", raw).arguments == {"connection_id": "a/b"}
        found = table.find("POST", "/v1/connections/a/b/reveal", raw)
        assert found == Found("/v1", "reveal_connection", {"connection_id": "a/b"})
        assert table.find("POST", "/v1/connections/a/reveal", raw).arguments == {"connection_id": "a"}
        assert table.find("POST", "/v1/connections/test", raw).operation_id == "test_connection"

    def test_an_id_that_can_have_no_slash_has_none(self, table):
        assert refusal(table, "GET", "/v1/things/a/b/c").status_code == 404


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
