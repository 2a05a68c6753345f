"""A change that is committed succeeds: in the response and in the audit, also if the response cannot be written."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import wraps

import pytest

from airflow_rest_api.legacy import usage
from airflow_rest_api.services import json_encoding
from airflow_rest_api.web import answers, contract, gate, routing
from tests import conftest
from tests.contract import test_replay
from tests.support import calls, clients

pytestmark = [
    pytest.mark.in_process,
    pytest.mark.invalid_responses,
    pytest.mark.usefixtures("restored_database"),
]

# The contracts by a prefix for the names of their operations, each with its address.
CONTRACTS = {
    "": (test_replay.DOCUMENT, clients.REST),
    "old-": (test_replay.OLD, test_replay.OLD_DOOR),
    "old-security-": (contract.load("legacy_security.yaml"), "/api/v1/security"),
}
REFUSED = {
    "": test_replay.REFUSED,
    "old-": test_replay.OLD_REFUSED,
    "old-security-": {"login": 401, "refresh": 401},
}


def prefix_of(operation):
    return {"LegacySecurity": "old-security-"}.get(operation.tag, "old-" * operation.tag.startswith("Legacy"))


def is_refused(prefix, call):
    return str(call) in REFUSED[prefix] or call.operation.operation_id in REFUSED[prefix]


def changes():
    """A call of each operation that changes something: one that succeeds, if an example does."""
    found = {}
    for prefix, (document, _) in CONTRACTS.items():
        for entry in test_replay.replays(document, prefix):
            call = entry.values[1]
            if f"{prefix}{call.operation.operation_id}" == "old-backfill":
                call = replace(call, params={**call.params, "start_date": "2026-01-05"})
            if not call.operation.read_only:
                found.setdefault(f"{prefix}{call.operation.operation_id}", []).append((prefix, call))
    return {
        name: next((each for each in given if not is_refused(*each)), given[0])
        for name, given in found.items()
    }


CHANGES = changes()
# Operations that no example makes succeed. Their handlers return the example of the response instead.
REPLACED = {name for name, change in CHANGES.items() if is_refused(*change)}


# Its response is null.
WITHOUT_FIELDS = {"delete_task_instance"}


class Unwritable:
    """The encoder of the responses, which fails."""

    encode_fields = staticmethod(json_encoding.encode_fields)

    @staticmethod
    def encode(*_):
        raise RuntimeError("the serializer fails")


def replaced(operation, handler):
    document, _ = CONTRACTS[prefix_of(operation)]
    response = contract.dereference(document, operation.definition["responses"][str(operation.status)])
    media = response.get("content", {}).get(contract.JSON, {})
    example = next(calls.media_examples(document, media), ("", {}))[1]
    return wraps(handler)(lambda **_: example)


@pytest.fixture(scope="module")
def http(metadata_database):
    """A client of an application in which every caller has permission, and the handlers of `REPLACED` succeed."""
    find = routing._handler

    def found(operation):
        handler = find(operation)
        name = f"{prefix_of(operation)}{operation.operation_id}"
        return replaced(operation, handler) if name in REPLACED else handler

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "_handler", found)
        patch.setattr(gate.access, "require", lambda *_: None)
        with conftest.in_process(conftest.application()) as http:
            yield http


def audited(request_id):
    """The rows that the audit wrote of a request."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        rows = session.scalars(select(Log).where(Log.extra.contains(request_id)).order_by(Log.id)).all()
        return [(row.event, json.loads(row.extra)) for row in rows if row.event != usage.EVENT]


def test_every_operation_that_changes_something_is_called():
    assert set(CHANGES) == {
        f"{prefix}{operation.operation_id}"
        for prefix, (document, _) in CONTRACTS.items()
        for operation in contract.operations(document)
        if not operation.read_only
    }


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_succeeds_although_its_response_cannot_be_written(http, token, monkeypatch, caplog, name):
    prefix, call = CHANGES[name]
    operation = call.operation
    monkeypatch.setattr(answers, "json_encoding", Unwritable)
    service = clients.Client(http, CONTRACTS[prefix][1], token)
    response = service.request(operation.method, call.path, **call.options())
    assert response.status_code == operation.status, response.text
    if operation.media_types:
        assert "cannot be written" in caplog.text, response.text
        assert isinstance(response.json(), dict)
        assert response.json() or operation.operation_id in WITHOUT_FIELDS
    rows = audited(response.headers["x-request-id"])
    is_dry_run = any("dry_run" in facts for _, facts in rows)
    assert [facts["phase"] for _, facts in rows] == ["intent", "outcome"][is_dry_run:]
    assert {event for event, _ in rows} == {operation.operation_id.removeprefix("post_" * (prefix == "old-"))}
    assert rows[-1][1]["status"] == operation.status
