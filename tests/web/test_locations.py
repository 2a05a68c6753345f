"""`x-location`: where the object of an answer is, told by the header `Location`."""

from __future__ import annotations

from uuid import uuid4

import pytest

from airflow_rest_api.services.states import Stated
from airflow_rest_api.web import locations
from airflow_rest_api.web.app import StartError
from tests.web import small
from tests.web.small import operation, parameter

ANSWER = {
    "type": "object",
    "properties": {"thing_id": {"type": "string", "nullable": True}, "part": {"type": "integer"}},
}
PATHS = {
    "/things/{name}": {
        "post": operation(
            "make_thing",
            parameters=[parameter("name", "path", type="string"), parameter("Idempotency-Key", "header")],
            answer=ANSWER,
            status="202",
            **{"x-location": "/things/{thing_id}/parts/{part}"},
        )
    }
}
GUARDED = {"post": {**PATHS["/things/{name}"]["post"], "security": [{"bearer": []}]}}


@pytest.fixture
def place(build):
    """`place(answer)`: the `Location` of this answer."""

    def ask(answer, paths=PATHS, **options):
        client = build(paths, {"make_thing": lambda name: answer})
        response = client.post("things/new", **options)
        assert response.status_code == 202, response.text
        return response.headers.get("location")

    return ask


def test_it_is_made_of_the_answer_below_the_address_of_the_service(place):
    assert place({"thing_id": "a b/ü", "part": 7}) == "/rest_api/v1/things/a%20b%2F%C3%BC/parts/7"


def test_what_has_no_name_has_no_place(place):
    assert place({"thing_id": None, "part": 7}) is None


def test_an_answer_with_a_state_has_one_as_well(place):
    assert place(Stated({"thing_id": "x", "part": 0}, (1,))) == "/rest_api/v1/things/x/parts/0"


def test_it_is_below_the_prefix_of_a_proxy(monkeypatch, metadata_database):
    app = small.application(monkeypatch, PATHS, {"make_thing": lambda name: {"thing_id": "x", "part": 1}})
    from starlette.testclient import TestClient

    with TestClient(app, root_path="/behind") as client:
        answer = client.post("/behind/rest_api/v1/things/new")
    assert answer.headers["location"] == "/behind/rest_api/v1/things/x/parts/1"


def test_a_repetition_gets_it_again(build, token, restored_database):
    client = build({"/things/{name}": GUARDED}, {"make_thing": lambda name: {"thing_id": "x", "part": 1}})
    headers = {"Authorization": f"Bearer {token('admin')}", "Idempotency-Key": str(uuid4())}
    first, again = (client.post("things/new", headers=headers) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["location"] == again.headers["location"] == "/rest_api/v1/things/x/parts/1"


def test_a_field_that_the_answer_has_not_ends_the_start(build):
    wrong = {**PATHS["/things/{name}"]["post"], "x-location": "/things/{id}"}
    with pytest.raises(StartError) as raised:
        build({"/things/{name}": {"post": wrong}}, {"make_thing": lambda name: {}})
    assert "the x-location of 'make_thing' has the field 'id', which the answer has not" in str(raised.value)


def test_without_it_no_place_is_told(build):
    paths = {"/a": {"post": operation("make_a", answer=ANSWER)}}
    client = build(paths, {"make_a": lambda: {"thing_id": "x"}})
    assert locations.HEADER not in client.post("a").headers
