"""What can be followed: the contract says so, and the start finds out where it does not fit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_rest_api.web import following
from tests.web import small

FOLLOW = {"name": "follow", "in": "query", "schema": {"type": "boolean", "default": False}}


@pytest.mark.parametrize(
    "definition",
    [
        {"x-follows": "application/x-ndjson", "parameters": [FOLLOW]},
        {"x-follows": "application/json"},
    ],
    ids=["as another media type", "without the parameter"],
)
def test_an_operation_that_cannot_be_followed_stops_the_start(build, definition):
    from airflow_rest_api.web.app import StartError

    paths = {"/a": {"get": small.operation("get_a", **definition)}}
    with pytest.raises(StartError, match="'get_a' cannot be followed as"):
        build(paths, {"get_a": small.empty})


def test_only_who_asks_for_it_follows():
    operation = SimpleNamespace(definition={"x-follows": "application/x-ndjson"})
    assert following.media_type(operation, {"follow": True}) == "application/x-ndjson"
    assert following.media_type(operation, {"follow": False}) is None
    assert following.media_type(SimpleNamespace(definition={}), {"follow": True}) is None
